"""Errors of the user, and how scripts show them: in one line, while a fault of the program keeps its traceback."""

import contextlib
import sys


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


@contextlib.contextmanager
def in_one_line(interrupted="interrupted"):
    """Show a UserError, and what the operating system refuses (OSError), in one line and exit with status 1.

    For scripts, around their work or as the decorator of `main`. Ctrl-C shows `interrupted`.
    """
    try:
        yield
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(interrupted)
