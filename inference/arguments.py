"""The options by which evaluate.py, predict.py, submission.py and visualize.py take a run and make its masks."""

import argparse

import runs
from utils.arguments import Flag, positive


def threshold(text: str) -> float | str:
    """A number, or one of "best" and "challenge", which evaluate.py found on the validation images."""
    try:
        return text if text in runs.CHOSEN else float(text)
    except ValueError:
        names = " or ".join(runs.CHOSEN)
        raise argparse.ArgumentTypeError(f"'{text}': expected a number from 0 to 1, or {names}") from None


def add_run(parser, required: bool = False) -> None:
    """Add --run to a parser or a group of one."""
    default = "" if required else " (default: the newest, or pretrained where none was trained)"
    names = ", ".join(runs.PRETRAINED)
    where = f"name of a folder in checkpoint_best/, {names}, path of a run's folder, its .keras file or an export"
    parser.add_argument("--run", required=required, help=where + default)


def add_threshold(parser, default: str | None = None) -> None:
    """Add --threshold; `default` None stands for the run's own."""
    default_text = "the run's" if default is None else default
    text = f"a number, best or challenge (default: {default_text})"
    parser.add_argument("--threshold", type=threshold, default=default, help=text)


def add_masks(parser, default_threshold: str | None = None) -> None:
    """Add how masks are made: --threshold, --tta, --clean and --batch_size; None stands for the run's own."""
    add_threshold(parser, default_threshold)
    tta = "test-time augmentation: average over mirrored and turned copies (default: the run's)"
    parser.add_argument("--tta", action=Flag, help=tta)
    clean = "keep each mask's largest connected component, fill its holes (default: the run's)"
    parser.add_argument("--clean", action=Flag, help=clean)
    parser.add_argument("--batch_size", type=positive, help="images at a time (default: the run's)")
