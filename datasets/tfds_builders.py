"""Every data set of registry.py as a TensorFlow Dataset, named <name>_segmentation.

    import tensorflow_datasets as tfds
    import datasets.tfds_builders  # registers them

    tfds.load("ham10000_segmentation", split="train", data_dir="records")
    tfds.load("ph2_segmentation", data_dir="records", download_and_prepare_kwargs={
        "download_config": tfds.download.DownloadConfig(manual_dir="DIR")})     # by hand: its folders or .zip files

Features: image (H, W, 3) uint8 as it came, mask (H, W, classes) uint8 of {0, 1}, id. info.metadata["classes"] names the
mask's channels. Splits are train, val and test, official ones or those of `python -m datasets NAME`; a split without
masks is left out. `python -m datasets NAME --records` writes the same; train.py reads them (tfds_records.py).
"""

import io
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from datasets.declaration import Declaration
from datasets.preparation import download, load_pairs
from datasets.preparation.find_pairs import Listing, check, find_anywhere, fingerprint
from datasets.preparation.splits import Division, divide
from datasets.registry import TABLE
from imaging import headers, mask_files
from utils.threads import in_order


class Segmentation(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """What the data sets have in common. division: of those without official splits."""

    VERSION = tfds.core.Version("1.0.0")
    declaration = None

    def __init__(self, declaration=None, division=None, **arguments):
        self.declaration = declaration or self.declaration
        self.division = division or Division()
        super().__init__(**arguments)

    def _info(self):
        one = self.declaration
        channels = f"channels: {', '.join(one.classes)}"
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), doc="RGB"),
            "mask": tfds.features.Tensor(
                shape=(None, None, len(one.classes)), dtype=np.uint8, encoding="zlib", doc=f"0 or 1; {channels}"
            ),
            "id": tfds.features.Text(doc="name of the image file"),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"{one.title}; {channels}",
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "mask"),
            homepage=one.homepage,
            citation=one.citation,
            license=one.terms,
            metadata=tfds.core.MetadataDict(
                dataset=one.name, task=one.task, licence=one.terms, classes=list(one.classes)
            ),
        )

    def _split_generators(self, dl_manager):
        listing = self._list(dl_manager)
        check([listing])
        self.info.metadata["fingerprint"] = fingerprint([listing], self.division.chosen)
        divide(listing, self.division)
        with_masks = {split: pairs for split, pairs in listing.pairs.items() if pairs and pairs[0].masks is not None}
        return {split: self._generate_examples(pairs) for split, pairs in with_masks.items()}

    def _list(self, dl_manager):
        """The data set in the manual directory, as folders or archives, else downloaded."""
        try:
            return find_anywhere(self.declaration, dl_manager.manual_dir)
        except (AssertionError, FileNotFoundError):  # TensorFlow Datasets asserts that there is such a directory
            if not self.declaration.archives:
                raise
        folder = dl_manager.download_dir / self.name
        download.fetch(self.declaration.archives, folder)
        return Listing(self.declaration, folder, archives=True)

    def _generate_examples(self, pairs):
        for example in in_order(_example, pairs):
            yield example["id"], example


def _example(pair):
    """The features of a pair. UserError: a bad file."""
    _, size, _ = load_pairs.load_image(pair, (8, 8))  # the whole check, at little cost
    mask, _ = load_pairs.load_masks(pair, size)
    return {"image": _encoded(pair, size), "mask": mask, "id": pair.id}


def _encoded(pair, size):
    """Bytes of the picture that every reader understands: the file's own, or a PNG made of it."""
    data = pair.image.read()
    if headers.is_jpeg(data) and headers.orientation(data) == 1:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.mode in ("L", "RGB"):
                return io.BytesIO(data)
    rgb, _, _ = load_pairs.load_image(pair, size)
    return io.BytesIO(mask_files.png(rgb))


def _register(name, declaration):
    instructions = f"{declaration.title}: {declaration.download}; folders or .zip files from {declaration.homepage}"
    members = {
        "__module__": __name__,
        "__doc__": declaration.title,
        "name": f"{name}_segmentation",
        "declaration": declaration,
        "MANUAL_DOWNLOAD_INSTRUCTIONS": instructions,
    }
    return type("".join(map(str.capitalize, f"{name}_segmentation".split("_"))), (Segmentation,), members)


BUILDERS = {name: _register(name, declaration) for name, declaration in TABLE.items()}


def build(
    name: str, declaration: Declaration, data_dir: str | Path, source: str | Path, division: Division
) -> Segmentation:
    """Write the records of a data set below `data_dir` from its folders or archives in `source`; returns their builder.

    Records of the same files and settings stay as they are, others are replaced.
    """
    mark = fingerprint([find_anywhere(declaration, source)], division.chosen)
    builder = BUILDERS[name](declaration=declaration, division=division, data_dir=data_dir)
    same = builder.info.metadata.get("fingerprint") == mark
    mode = tfds.GenerateMode.REUSE_DATASET_IF_EXISTS if same else tfds.GenerateMode.REUSE_CACHE_IF_EXISTS
    config = tfds.download.DownloadConfig(manual_dir=source, download_mode=mode)
    builder.download_and_prepare(download_dir=f"{data_dir}/downloads", download_config=config)
    return builder
