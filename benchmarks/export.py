"""Images a second, memory and agreement of exports beside Keras, at 128 x 128, each in a process of its own.

    python benchmarks/export.py [--seconds 5] [--networks unet16,as_net]    # random weights: speed and memory
    python benchmarks/export.py --runs isic18_cpu                           # a trained run: agreement and Jaccard, too

Speed is that of probabilities for uint8 images, one at a time and in batches of 16, in Keras (float32 and bfloat16),
ONNX Runtime (float32), OpenVINO (bfloat16, and int8 calibrated on phantoms, or for a run on its training images).
Memory is the peak of the process. Agreement is the mean Jaccard between the masks of a row and of Keras in float32 on
100 phantoms of 96 to 512 pixels (goal 0.999; Keras's own bfloat16 stands beside it, as what the format alone does);
of a run also the mean Jaccard on its validation images. Goals of unet16, images/s: bfloat16 180 single; int8 300
single, 360 in batches.
"""

import argparse
import contextlib
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

NETWORKS = ("unet16", "as_net", "attributes_convnext_unet", "efficientnet_unet")
SIZE = 128
SIDES = (96, 128, 200, 333, 512)  # pixels, of the phantoms
LINE = "{:26}{:30}{:>9}{:>9}{:>10}{:>12}{:>10}"


def measured(file, seconds):
    """{"runtime", "single", "batch", "memory"} of a file, in this process: images a second and MB."""
    from inference.predictor import load_predictor
    from utils.memory import peak_memory

    predictor = load_predictor(file, tta=False)
    images = np.random.default_rng(0).integers(0, 256, (16, *predictor.size, 3), np.uint8)
    rates = {name: rate(predictor, batch, seconds) for name, batch in (("single", images[:1]), ("batch", images))}
    runtime = getattr(predictor.network, "runtime", "Keras")
    return {"runtime": runtime, **rates, "memory": peak_memory() / 1e6}


def rate(predictor, images, seconds):
    predictor.probabilities(images)
    count = 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        predictor.probabilities(images)
        count += len(images)
    return count / (time.perf_counter() - start)


def in_a_process(file, seconds):
    command = [sys.executable, __file__, "--file", str(file), "--seconds", str(seconds)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()[-1])


def agreement(reference, file):
    """Mean Jaccard between the masks of two predictors on phantoms; 1 where both are empty."""
    from datasets.phantoms import phantom
    from inference.predictor import load_predictor

    predictor = load_predictor(file, tta=False)
    found = []
    for seed in range(100):
        side = SIDES[seed % len(SIDES)]
        image = phantom(seed, side, side * 4 // 3).image
        ours, theirs = predictor(image)[0], reference(image)[0]
        found.append((ours & theirs).sum() / max((ours | theirs).sum(), 1) if (ours | theirs).any() else 1.0)
    return float(np.mean(found))


def written(network, settings, folder, calibration):
    """{what: file} of a network: Keras's, and the exports."""
    import config
    from compute import onnx_file
    from inference import conversion

    files = {}
    for precision in ("float32", "bfloat16"):
        run = folder / f"keras_{precision}"
        run.mkdir()
        network.save(run / "model.keras")
        config.save(dataclasses.replace(settings, precision=precision), run / "settings.yaml")
        files[f"Keras {precision}"] = run / "model.keras"
    made = conversion.Deployed(network, settings.normalize)
    plain = conversion.write_onnx(made, folder, "float32")
    int8 = folder / "int8.onnx"
    conversion.quantize(plain, int8, [made.feeds(image[None]) for image in calibration])
    bfloat16 = folder / "bfloat16.onnx"
    bfloat16.write_bytes(plain.read_bytes())
    for name, precision, file in (
        ("ONNX float32", "float32", plain),
        ("ONNX bfloat16", "bfloat16", bfloat16),
        ("ONNX int8", "bfloat16", int8),
    ):
        own = dataclasses.asdict(dataclasses.replace(settings, precision=precision))
        conversion.annotate_onnx(file, {"format": onnx_file.FORMAT, "settings": own, "int8": file == int8})
        files[name] = file
    return files


def show(name, network, settings, splits, seconds):
    """Print the rows of a network. splits: of a run {"train": …, "val": …}, else None."""
    from datasets.phantoms import phantom
    from inference.predictor import load_predictor

    height, width = network.input_shape[1:3]
    images = splits["train"].images if splits else [phantom(seed, height, width).image for seed in range(100)]
    numbers = np.unique(np.linspace(0, len(images) - 1, 300).astype(int))
    with tempfile.TemporaryDirectory() as folder:
        files = written(network, settings, Path(folder), [np.asarray(images[number]) for number in numbers])
        reference = load_predictor(files["Keras float32"], tta=False)
        for what, file in files.items():
            found = in_a_process(file, seconds)
            cells = ["", ""]
            if splits:
                cells = [f"{agreement(reference, file):.5f}", f"{jaccard(file, splits['val']):.4f}"]
            rates = (f"{found['single']:.0f}", f"{found['batch']:.0f}", f"{found['memory']:.0f}")
            print(LINE.format(name, f"{what} ({found['runtime']})", *rates, *cells), flush=True)


def jaccard(file, split):
    """Mean Jaccard of the masks of a file at the network's size."""
    import metrics
    from inference.predictor import load_predictor

    predictor = load_predictor(file, tta=False)
    counts = []
    for image, mask in zip(split.images, split.masks, strict=True):
        found = predictor.probabilities(predictor.fit(np.asarray(image))[None]) >= np.float32(predictor.thresholds)
        counts.append(metrics.counts(np.asarray(mask)[None], found))
    return metrics.score("jaccard", metrics.concatenate(counts))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--runs", default="", help="trained runs instead")
    parser.add_argument("--file", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.file:
        print(json.dumps(measured(given.file, given.seconds)))
        return
    import config
    import model
    import runs
    from datasets.arrays import open_split

    print(LINE.format("network", "file", "single/s", "batch/s", "peak MB", "agreement", "Jaccard"))
    for name in filter(None, given.runs.split(",")):
        settings = runs.settings(runs.find(name))
        splits = {split: open_split(settings.data, split) for split in ("train", "val")}
        show(name, model.load(runs.network_file(runs.find(name))), settings, splits, given.seconds)
    for name in [] if given.runs else given.networks.split(","):
        settings = config.Settings(model=name, normalize=model.REGISTRY[name].normalization)
        show(name, model.untrained(name, (SIZE, SIZE, 3)), settings, None, given.seconds)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
