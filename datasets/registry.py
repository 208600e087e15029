"""The table of data sets: a name on the command line -> its declaration.

A data set is a file NAME.py of this package with `DATASET = Declaration(…)`, and its name below. All else follows:
`python -m datasets` lists it, prepares it as arrays and, with --records, as TensorFlow Dataset.
"""

import importlib
from collections.abc import Sequence

from datasets import folder
from datasets.declaration import Declaration
from imaging.masks import Labels
from utils.errors import UserError

NAMES = (
    "isic2016",
    "isic2017",
    "isic2018",
    "isic2018_task2",
    "ham10000",
    "ph2",
    "busi",
    "kvasir_seg",
    "folder",
    "synthetic",
    "synthetic_task2",
)
TABLE: dict[str, Declaration] = {name: importlib.import_module(f"datasets.{name}").DATASET for name in NAMES}


def declared(
    dataset: str,
    task: int,
    classes: Sequence[str] = (),
    index: bool = False,
    mask_values: Sequence[int] = (),
    ignore: Sequence[int] = (),
    consensus: str = "",
) -> Declaration:
    """The declaration of prepared arrays, by what their meta.json holds on them.

    The others are of own data (dataset "folder"). index: whether a mask file holds the numbers of the classes.
    mask_values, ignore: the `Labels` of its masks. consensus: of several annotators.
    UserError: this version has no such data set.
    """
    if dataset == "folder":
        labels = Labels(tuple(mask_values), tuple(ignore))
        if index:
            return folder.declaration((), classes, labels)
        return folder.declaration(classes, labels=labels, consensus=consensus)
    for one in TABLE.values():
        if (one.name, one.task) == (dataset, task):
            return one
    raise UserError(f"no data set '{dataset}' of task {task}; there are: {', '.join(TABLE)}")
