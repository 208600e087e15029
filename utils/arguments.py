"""What the command lines of all scripts have in common: options are spelled `--snake_case`, a few types of values.

parser.add_argument("--tta", action=Flag, help="…")      # --tta and --no_tta; None where neither is given
parser.parse_args(snake_case(argv))                      # `--no-tta`, the older spelling, is understood too
"""

import argparse
import re
import sys


def snake_case(argv: list[str] | None = None) -> list[str]:
    """The command line with options spelled `--like_this`, whichever way they came; by default that of the program.

    Values are left alone, also behind `=`, and so is everything after a bare `--`.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    end = argv.index("--") if "--" in argv else len(argv)
    return [_snake_option(part) for part in argv[:end]] + argv[end:]


def _snake_option(part):
    if not part.startswith("--"):
        return part
    name, equals, value = part[2:].partition("=")
    return "--" + name.replace("-", "_") + equals + value


class Flag(argparse.Action):
    """`--name` for True, `--no_name` for False, and None (or `default`) where neither is given."""

    def __init__(self, option_strings, dest, **options):
        negative = [f"--no_{option.removeprefix('--')}" for option in option_strings]
        super().__init__([*option_strings, *negative], dest, nargs=0, **options)

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, not option_string.startswith("--no_"))

    def format_usage(self):
        return " | ".join(self.option_strings)


# === Types of values ===


def positive(text: str) -> int:
    """A whole number of at least 1. ArgumentTypeError: anything else."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': expected a whole number of at least 1")
    return int(text)


def fraction(text: str) -> float:
    """A number above 0, at most 1. ArgumentTypeError: anything else."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}': expected a fraction, above 0 and at most 1")
    return value


def size(text: str) -> tuple[int, int]:
    """(height, width) in pixels from "192x256". ArgumentTypeError: no such pair, or a side not from 8 to 8192."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    found = (int(match[1]), int(match[2])) if match else None
    if not found or min(found) < 8 or max(found) > 8192:
        raise argparse.ArgumentTypeError(f"'{text}': expected HEIGHTxWIDTH in pixels, such as 192x256, from 8 to 8192")
    return found


def names(text: str) -> list[str]:
    """["a", "b"] from "a,b". ArgumentTypeError: a name twice, or one that does not begin with a letter or digit."""
    found = [name.strip() for name in text.split(",")]
    if not all(re.fullmatch(r"\w[\w -]*", name) for name in found) or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"'{text}': expected different names with commas between")
    return found
