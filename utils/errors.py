"""Errors of the user, and how scripts show them: in one line, while a fault of the program keeps its traceback."""

import contextlib
import sys


class UserError(ValueError):
    """What the user gave does not fit: the message names it, what was expected and what to do."""


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
