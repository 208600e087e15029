"""A trained run as one file for other runtimes, with everything inside that makes masks of photographs.

    python export.py --run isic18_cpu                       # → output/isic18_cpu/isic18_cpu.onnx
    python export.py --run isic18_cpu --int8                # → output/isic18_cpu/isic18_cpu_int8.onnx
    python export.py --run isic18_cpu --to openvino         # or litert, saved_model
    python export.py --run isic18_cpu --to page --out DIR   # the page of serve.py, in any browser: docs/page.md
    python export.py --run isic18_cpu --out FILE.onnx --data dataset_isic18     # compared on these validation images

What is exported takes uint8 RGB images (N, H, W, 3) of the network's size, N any number, and gives float32
probabilities (N, H, W, classes): normalization of the pixels, the network in float32 with its batch norms folded into
its convolutions, and the sigmoid. A run whose normalization is `minmax_edges` has a second input, `edges`, uint8
{0, 1} (N, H, W, 1): Canny edges, which no format has an operation for; predict.py finds them by itself. The metadata,
JSON, hold the rest: classes, thresholds, settings, scores, what was compared (docs/export.md).

    predict.py, evaluate.py, submission.py --run FILE.onnx and load_predictor("FILE.onnx")

do with an ONNX file all that they do with a run, and predict.py without TensorFlow: FILE.onnx, this program and
`pip install -r requirements-predict.txt` are enough.

Every export is compared with Keras on the validation images. Where a probability differs by more than 1e-4 or the mean
Jaccard by more than 0.001, nothing is written, and the exit status is 1. `--int8` quantizes convolutions and matrix
products, calibrated on training images; it is written only where the mean Jaccard falls by at most 0.005 and an image
takes at most 1/1.3 of the time that the ONNX file takes here. The exporters are in requirements-export.txt.
"""

from __future__ import annotations  # keras.Model is not loaded to be named

import argparse
import contextlib
import dataclasses
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import config
import metrics
import model
import runs
from compute import onnx_file
from datasets.arrays import open_split
from datasets.split import Split
from imaging import hair_removal, normalization
from inference import arguments
from inference.exported import IMAGE, Exported
from inference.predictor import check_fit, usual_classes
from utils import errors
from utils.arguments import snake_case
from utils.errors import UserError
from utils.files import locked, temporary_beside
from utils.lazy import keys, lazily
from utils.startup import start_tensorflow

with lazily():  # after the command line has been read
    import keras

    from evaluation import model_card
    from inference import conversion, probabilities
    from page import static_site
    from training import checkpoints

DIFFERENCE = 1e-4  # of a probability, at most
HALF_DIFFERENCE = 0.05  # of a network whose weights are in float16
JACCARD = 0.001  # of the mean Jaccard on the validation images, at most
INT8_JACCARD = 0.005  # that int8 may lose
INT8_SPEED = 1.3  # times as fast as the float file, at least
CALIBRATION = 300  # training images, at most
ROUNDS = 30  # of timing
BATCH = 8
LICENCE = "MIT"  # of the program; that of the training data stands beside it
VERSION = "0.10.0"  # of the program, as in pyproject.toml
NOTICE = "For research and teaching. Not a medical device."

Compute = Callable[[dict[str, np.ndarray]], np.ndarray]  # {name of an input: array} → probabilities


def export(
    run: str | None = None, to: str = "onnx", int8: bool = False, out: Path | None = None, data: str | None = None
) -> Path:
    """Export a run; returns the path of what was written.

    run: as runs.find takes it, no export. to: a name of conversion.FORMATS. data: prepared arrays whose validation
    images are compared, None for the run's own. Raises UserError where the export differs too much from the run, and
    then nothing is written.
    """
    # 1. the run and its data
    path = runs.find(run)
    out = target(path, to, int8, out)
    settings = runs.settings(path)
    network = model.load(runs.network_file(path))
    splits = open_splits(network, data or settings.data)
    noted = metadata(path, network, splits)
    compared = Comparison(network, settings, splits, noted["classes"])

    # 2. convert, compare, keep
    form = form_of(to)
    with replacing_all(out) as folder:
        made = form.write(compared.deployed, folder, out.stem)
        with errors.unreadable(made, "the converter fails for this network; choose another format: --to"):
            compute = form.read(made)
        noted["check"] = compared.with_keras(compute, form.suffix, HALF_DIFFERENCE if to == "page" else DIFFERENCE)
        if int8:
            noted["int8"] = compared.quantized(made, noted)
        form.annotate(made, noted)
    if path.is_dir():
        note(path, out, noted)
    return out


def form_of(to: str) -> conversion.Format:
    """The format of a name of conversion.FORMATS, or "page"."""
    return static_site.FORMAT if to == "page" else conversion.FORMATS[to]


def target(run: Path, to: str, int8: bool, out: Path | None) -> Path:
    """The path that is written. UserError: it or the format does not fit, or the run is an export."""
    if onnx_file.is_export(run):
        raise UserError(f"{run} is an export already: name the run that it was made of")
    if int8 and to != "onnx":
        raise UserError("--int8 makes an ONNX file, which OpenVINO and ONNX Runtime read: leave --to out")
    suffix = form_of(to).suffix
    name = runs.name_of(run)
    out = out or Path("output") / name / f"{name}{'_int8' if int8 else ''}{suffix}"
    if out.suffix != suffix:
        raise UserError(f"--out {out}: the name has to end in '{suffix}'" if suffix else f"--out {out}: name a folder")
    if out.is_dir():
        raise UserError(f"{out}/ is there already: delete it, or choose another --out")
    return out


def open_splits(network: keras.Model, data: str) -> dict[str, Split]:
    """{"train": …, "val": …} of prepared arrays. UserError: they do not fit, or have no masks to compare with."""
    splits = {name: open_split(data, name) for name in ("train", "val")}
    if any(split.masks is None for split in splits.values()):
        raise UserError(f"{data}: training and validation images have to have masks, on which exports are compared")
    check_fit(network, splits["val"], data)
    return splits


@contextlib.contextmanager
def replacing_all(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` inside `with`; what lies in it then takes its place beside, `out` itself last."""
    folder = temporary_beside(out.with_suffix(""))
    folder.mkdir(parents=True)
    try:
        yield folder
        for written in sorted(folder.iterdir(), key=lambda each: each.name == out.name):
            os.replace(written, out.with_name(written.name))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# === Metadata ===


def metadata(run: Path, network: keras.Model, splits: dict[str, Split]) -> dict[str, Any]:
    """What a file says of itself, but for the comparison: JSON."""
    settings = runs.settings(run)
    facts = {name: fact for name, fact in runs.facts(run).items() if name != "exports"}
    classes = facts.get("classes") or usual_classes(network.output_shape[-1])
    results = {name: result for name, result in facts.get("results", {}).items() if result.get("split") == "val"}
    return facts | {
        "format": onnx_file.FORMAT,
        "run": runs.name_of(run),
        "classes": classes,
        "settings": dataclasses.asdict(settings),
        "results": results,  # validation scores, with their intervals
        "processing": {
            "image": "RGB, upright, brought to height × width of the input by the mean of areas",
            "probabilities": "to the size of the image, bilinearly; then threshold; then clean-up",
            "calibration": "once masks are made: sigmoid(logit(p) / temperature of the class, in `trust`), with p held"
            " 2**-24 from 0 and 1",
            "threshold": settings.threshold,
            "clean": "of each mask the largest connected component, holes filled" if settings.clean else "none",
            "tta": "mean over mirrored and, where square, transposed copies" if settings.tta else "none",
            "remove_hair": settings.remove_hair,
        },
        "data": {**facts.get("data", {}), "fingerprint": checkpoints.fingerprint(splits)},
        "versions": {**facts.get("versions", {}), "toolkit": VERSION},
        "licence": LICENCE,
        "notice": NOTICE,
    }


def note(run: Path, out: Path, noted: dict[str, Any]) -> None:
    """Note what was compared with a run, and renew its model card."""
    with locked(run, f"{run}/ is being written by another process; export again", wait=60):
        kept = {name: noted[name] for name in ("check", "int8") if name in noted}
        runs.note(run, exports=runs.facts(run).get("exports", {}) | {out.name: kept})
        model_card.write(run)


# === Comparison ===


class Comparison:
    """A network and its exports on the same images.

    Raises UserError where the network cannot be exported.
    """

    def __init__(self, network: keras.Model, settings: config.Settings, splits: dict[str, Split], classes: list[str]):
        self.network = network
        self.settings = settings
        self.splits = splits
        self.classes = classes
        self.normalize = settings.normalize or model.REGISTRY[settings.model].normalization
        self.deployed = conversion.Deployed(network, self.normalize)

    def with_keras(self, compute: Compute, suffix: str, most: float) -> dict[str, Any]:
        """Largest difference, at most `most`, and mean Jaccard on the validation images. UserError: they differ."""
        of_keras = probabilities.probability_function(self.network)

        def reference(feeds):
            return of_keras(np.asarray(normalization.normalize(feeds[IMAGE], self.normalize)))

        found = self.scores({"Keras": reference, "export": compute}, "compare")
        difference = found["difference"]
        loss = abs(found["Keras"] - found["export"])
        if not (difference <= most and loss <= JACCARD):  # also where it is NaN
            raise UserError(
                f"the export ({suffix or 'SavedModel'}) is not what Keras computes: probabilities differ by up to"
                f" {difference:.2g} (at most {most:g}), the mean Jaccard by {loss:.2g} (at most {JACCARD:g});"
                " nothing was written"
            )
        return {"images": len(self.splits["val"].ids), "largest_difference": difference, **jaccards(found)}

    def scores(self, functions: dict[str, Compute], what: str) -> dict[str, float]:
        """{name: mean Jaccard} of the masks of functions, and "difference", the largest from the first's output."""
        split = self.splits["val"]
        masks: Any = split.masks  # open_splits has seen that there are some
        counts: dict[str, list] = {name: [] for name in functions}
        difference = 0.0
        for start in tqdm(range(0, len(split.ids), BATCH), unit="batch", desc=what, disable=None):
            feeds = self.deployed.feeds(self.images("val", range(start, min(start + BATCH, len(split.ids)))))
            truth = masks[start : start + BATCH]
            maps = {name: compute(feeds) for name, compute in functions.items()}
            first = next(iter(maps.values()))
            difference = float(np.max([difference, *(np.abs(first - each).max() for each in maps.values())]))  # or NaN
            for name, each in maps.items():
                counts[name].append(metrics.counts(truth, each >= np.float32(self.settings.threshold)))
        means = {name: metrics.score("jaccard", metrics.concatenate(parts)) for name, parts in counts.items()}
        return means | {"difference": difference}

    def images(self, name: str, numbers: Iterable[int]) -> np.ndarray:
        """Images of a split, uint8 (B, H, W, 3), without hairs if the run was trained so."""
        images = np.asarray(self.splits[name].images[np.asarray(list(numbers))])
        return np.stack([hair_removal.remove(image) for image in images]) if self.settings.remove_hair else images

    def quantized(self, path: Path, noted: dict[str, Any]) -> dict[str, Any]:
        """Put int8 in the place of an ONNX file; returns what was compared. UserError: it loses too much or is slow."""
        count = len(self.splits["train"].ids)
        chosen = np.unique(np.linspace(0, count - 1, min(count, CALIBRATION)).astype(int))
        small = path.with_name(f"{path.stem}.int8.onnx")
        conversion.quantize(path, small, (self.deployed.feeds(self.images("train", [number])) for number in chosen))
        conversion.annotate_onnx(path, noted)  # which says the runtime of each
        conversion.annotate_onnx(small, noted | {"int8": True})
        files = {"float": Exported(path), "int8": Exported(small)}
        found = self.scores({name: each.run for name, each in files.items()}, "int8")
        seconds = single_seconds(
            {name: each.run for name, each in files.items()}, self.deployed.feeds(self.images("val", [0]))
        )
        loss = found["float"] - found["int8"]
        speed = seconds["float"] / seconds["int8"]
        if not (loss <= INT8_JACCARD and speed >= INT8_SPEED):
            raise UserError(
                f"int8 is not worth it: mean Jaccard {found['float']:.4f} → {found['int8']:.4f} (may fall by"
                f" {INT8_JACCARD:g}), {speed:.2f} times as fast (at least {INT8_SPEED:g}); nothing was written"
            )
        os.replace(small, path)
        return {"calibration_images": len(chosen), "runtime": files["int8"].runtime, "speed": speed, **jaccards(found)}


def jaccards(found):
    return {f"jaccard_{name.lower()}": value for name, value in found.items() if name != "difference"}


def single_seconds(functions: dict[str, Compute], feeds: dict[str, np.ndarray]) -> dict[str, float]:
    """Median seconds of each function for the same arrays; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(ROUNDS):
        for name, compute in functions.items():
            start = time.perf_counter()
            compute(feeds)
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(times[ROUNDS // 10 :]) for name, times in taken.items()}  # the first warm up


# === Command line ===


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="A trained run as one file for other runtimes.")
    arguments.add_run(parser)
    formats = [*keys("inference.conversion", "FORMATS"), "page"]
    parser.add_argument("--to", choices=formats, default="onnx", help="format (default: onnx, which predict.py reads)")
    parser.add_argument("--int8", action="store_true", help="quantized, if that keeps the score and is faster")
    parser.add_argument("--out", type=Path, help="file to write (default: output/RUN/RUN.onnx)")
    parser.add_argument("--data", help="folder of prepared arrays to compare on (default: the run's)")
    return parser


@errors.in_one_line("interrupted; nothing was written")
def main(argv: list[str] | None = None) -> None:
    given = parser().parse_args(snake_case(argv))
    start_tensorflow()
    out = export(given.run, given.to, given.int8, given.out, given.data)
    size = sum(each.stat().st_size for each in ([out] if out.is_file() else out.rglob("*")) if each.is_file())
    print(f"{out}: {size / 1e6:.1f} MB, compared with Keras on the validation images")


if __name__ == "__main__":
    main()
