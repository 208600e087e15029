"""Errors of the user, and how scripts show them: in one line, while a fault of the program keeps its traceback."""

import contextlib
import io
import os
import signal
import sys
import threading


class UserError(ValueError):
    """What the user gave does not fit: the message names it, what was expected and what to do."""


@contextlib.contextmanager
def unreadable(path, remedy):
    """Around the reading and checking of a file's contents: whatever is wrong with them becomes one UserError.

    The message names `path` and ends with `remedy`. A UserError from inside passes as it is, and so does an OSError
    that names its file.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as problem:  # an edited or damaged file raises anything
        if isinstance(problem, OSError) and problem.filename is not None:
            raise
        text = " ".join(str(problem).split())[:200]
        raise UserError(f"{path} cannot be read ({type(problem).__name__}: {text}); {remedy}") from problem


@contextlib.contextmanager
def naming(path):
    """Around the writing of a file: an OSError that names none, such as that of a full disk, gets the name of this."""
    try:
        yield
    except OSError as problem:
        if problem.errno is not None and problem.filename is None:
            problem.filename = str(path)
        raise


class _Hangup(KeyboardInterrupt):
    """The terminal was closed (SIGHUP)."""


@contextlib.contextmanager
def in_one_line(interrupted="interrupted"):
    """Show a UserError, and what the operating system refuses (OSError), in one line and exit with status 1.

    For scripts, around their work or as the decorator of `main`. Ctrl-C and a closed terminal (SIGHUP) show
    `interrupted`, and the status is 130 or 129, as shells have it; 141 without a word where what reads the output has
    ended, such as head. What a terminal's encoding lacks is written as its code, such as \\u2013.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _hangup_raises():
            try:
                yield
            finally:
                print(end="", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes when it ends
        sys.exit(141)
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt as stop:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(interrupted, file=sys.stderr, flush=True)
        sys.exit(129 if isinstance(stop, _Hangup) else 130)


@contextlib.contextmanager
def _hangup_raises():
    """SIGHUP becomes an exception, so that temporary files are removed; not where it is ignored (nohup)."""

    def stop(number, frame):
        raise _Hangup

    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    in_main_thread = threading.current_thread() is threading.main_thread()
    if hangup is None or not in_main_thread or signal.getsignal(hangup) is not signal.SIG_DFL:
        yield
        return
    signal.signal(hangup, stop)
    try:
        yield
    finally:
        signal.signal(hangup, signal.SIG_DFL)
