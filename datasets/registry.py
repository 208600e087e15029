"""The table of data sets: a name on the command line -> its declaration."""

from datasets import busi, folder, ham10000, isic2016, isic2017, isic2018, kvasir_seg, ph2, synthetic

TABLE = {
    "isic2016": isic2016.DATASET,
    "isic2017": isic2017.DATASET,
    "isic2018": isic2018.TASKS[1],
    "isic2018_task2": isic2018.TASKS[2],
    "ham10000": ham10000.DATASET,
    "ph2": ph2.DATASET,
    "busi": busi.DATASET,
    "kvasir_seg": kvasir_seg.DATASET,
    "folder": folder.DATASET,
    "synthetic": synthetic.TASKS[1],
    "synthetic_task2": synthetic.TASKS[2],
}


def declared(dataset, task, classes=(), index=False):
    """The declaration of which meta.json keeps these facts, among others."""
    if dataset == "folder":
        return folder.declaration(**{"index_classes" if index else "classes": classes})
    return next(one for one in TABLE.values() if (one.name, one.task) == (dataset, task))
