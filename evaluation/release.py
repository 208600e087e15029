"""A run as one small file that is handed on: compressed, settings and facts inside, a card beside it.

    python -m evaluation.release --run RUN --out pretrained/lesion.keras     # and pretrained/lesion.md

It is loaded and used as every `.keras` file of a run is. Kernels are in half precision, which Keras casts back to
float32; where that changes masks, they stay as they are. Vectors (biases, batch norms) always do: they are few, and
variances may leave the range of half precision. Whether masks change is seen on the run's validation images.
"""

import argparse
import shutil
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
from tqdm import tqdm

import config
import runs
from datasets.arrays import open_split
from evaluation import model_card
from inference.arguments import add_run
from inference.predictor import load_predictor
from utils import errors
from utils.errors import UserError
from utils.files import replacing
from utils.startup import start_tensorflow

WEIGHTS = "model.weights.h5"  # in a .keras file
LEAST = 0.999  # mean Jaccard between the masks of run and file
IMAGES = 100  # at most, of the validation images


def release(run: str | Path | None, out: str | Path) -> float:
    """Write a run as one smaller file, and its model card beside it.

    Args:
        run: as runs.find takes it.
        out: the file, ending in `.keras`; the card ends in `.md`.

    Returns: mean Jaccard between the masks of run and file on validation images: LEAST or more, or kernels are exact.

    Raises: UserError: `out` ends otherwise.
    """
    out = Path(out)
    if out.suffix != ".keras":
        raise UserError(f"{out}: expected a name that ends in .keras")
    found = runs.find(run)
    settings = runs.settings(found)
    facts = runs.facts(found)
    with tempfile.TemporaryDirectory() as scratch:
        small = Path(scratch, out.name)
        kept = {name: fact for name, fact in facts.items() if name not in ("results", "exports")}
        for half in (True, False):
            write(runs.network_file(found), small, half)
            runs.seal(small, settings, **kept)
            agreement = compare(found, small, settings)
            if agreement >= LEAST:
                break
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as path:
            shutil.copyfile(small, path)
    with replacing(out.with_suffix(".md")) as path:
        path.write_text(model_card.text(found, runs.name_of(out.resolve())), encoding="utf-8")
    return agreement


def write(network: Path, out: Path, half: bool) -> None:
    """Copy a `.keras` file, compressed; half: kernels, arrays of two or more axes, in half precision."""
    with tempfile.TemporaryDirectory() as scratch, zipfile.ZipFile(network) as archive:
        weights = Path(archive.extract(WEIGHTS, scratch))
        small = Path(scratch, "small.h5")
        with h5py.File(weights) as source, h5py.File(small, "w") as target:
            source.visititems(lambda name, item: _copy(name, item, target, half))
            target.attrs.update(source.attrs)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as written:
            for entry in archive.infolist():
                if entry.filename == WEIGHTS:
                    written.write(small, WEIGHTS)
                else:
                    written.writestr(entry.filename, archive.read(entry))


def _copy(name, item, target, half):
    if isinstance(item, h5py.Group):
        copy = target.require_group(name)
    else:
        array = item[()]
        kernel = array.dtype == np.float32 and array.ndim >= 2
        how = {"compression": "gzip", "shuffle": True} if kernel else {}
        copy = target.create_dataset(name, data=array.astype(np.float16) if kernel and half else array, **how)
    copy.attrs.update(item.attrs)


def compare(run: Path, file: Path, settings: config.Settings) -> float:
    """Mean Jaccard between the masks of a run and of a file on validation images of the run's data."""
    images = open_split(settings.data, "val").images[:IMAGES]
    theirs = load_predictor(run, threshold=0.5)
    ours = load_predictor(file, threshold=0.5)
    scores = []
    for start in tqdm(range(0, len(images), settings.batch_size), "masks of run and file", unit="batch"):
        batch = images[start : start + settings.batch_size]
        a = theirs.probabilities(batch) >= 0.5
        b = ours.probabilities(batch) >= 0.5
        union = (a | b).sum(axis=(1, 2))  # (B, classes)
        scores.append(np.where(union, (a & b).sum(axis=(1, 2)) / np.maximum(union, 1), 1))
    return float(np.concatenate(scores).mean())


@errors.in_one_line()
def main(argv=None):
    parser = argparse.ArgumentParser(description="Write a run as one small file that is handed on.")
    add_run(parser)
    parser.add_argument("--out", required=True, metavar="FILE.keras")
    given = parser.parse_args(argv)
    start_tensorflow()
    agreement = release(given.run, given.out)
    size = Path(given.out).stat().st_size / 1e6
    print(f"{given.out}: {size:.1f} MB; its masks agree with the run's to a mean Jaccard of {agreement:.5f}")


if __name__ == "__main__":
    main()
