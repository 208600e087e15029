"""Names of Keras and TensorFlow that are not public: none but those of one file, and these are still there."""

import ast
from pathlib import Path

import tensorflow as tf

from compute import private_names

ROOT = Path(__file__).parents[2]
OF_PYTHON = {"_asdict", "_fields", "_replace", "_make", "_exit", "_Pickler"}  # of named tuples, os and pickle
PATCHED = {"call", "apply", "scale_loss", "update_step", "train_step"}  # methods that nobody gets from outside


def code():
    """{path: syntax tree} of the repository's Python files, but for the one that may."""
    paths = [
        path for path in ROOT.rglob("*.py") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]
    found = {path.relative_to(ROOT): ast.parse(path.read_text()) for path in paths}
    del found[Path("compute/private_names.py")]
    return found


def test_private_names_stand_in_one_file_and_no_method_is_replaced():
    trees, defined, read = code(), set(OF_PYTHON), []
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                defined.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                defined.add(node.id)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr not in PATCHED:
                defined.add(node.attr)
            elif isinstance(node, ast.Attribute):
                read.append((path, node))
    wrong = [f"{path}:{node.lineno}: {ast.unparse(node)}" for path, node in read if forbidden(node, defined)]
    assert len(trees) > 50 and not wrong, "\n".join(wrong)


def forbidden(node, defined):
    """Whether an attribute that is read, or replaced, is a private name that this repository does not define."""
    if isinstance(node.ctx, ast.Store):
        return True
    if node.attr in ("compat", "__internal__"):
        return ast.unparse(node.value) == "tf"
    return node.attr.startswith("_") and not node.attr.startswith("__") and node.attr not in defined


def test_the_private_names_are_still_there():
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    before = set(dir(strategy.extended))
    private_names.check_workers(strategy, 5)
    assert set(dir(strategy.extended)) == before  # else they were made anew, and nobody reads them
