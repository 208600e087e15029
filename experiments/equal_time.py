"""Networks and training steps compared at equal time: AdSTNet's head, JAAL-Net's adversary, the attribute networks.

    python dataset_isic18.py --archives DIR --size 64x64 --root dataset_isic18_64x64
    python experiments/equal_time.py adstnet                # 20 minutes on two CPU cores, which nothing else may use
    python experiments/equal_time.py jaal_net               # 20 minutes
    python dataset_isic18.py --archives DIR --task 2 --size 128x128 --root dataset_isic18_task2_128x128
    python experiments/equal_time.py attributes             # 30 minutes
    python experiments/equal_time.py adstnet --epochs 9 5   # the epochs that another machine found: the same again

adstnet: U-Net of width 16 alone, and as the backbone of AdSTNet, whose head is scored too. jaal_net: LF-Net of width 8
by the L1 of its generator alone, and within JAAL-Net. attributes: small versions of the four networks of ISIC 2018
Task 2 by the recipe of configs/attributes_cpu.yaml, with thresholds from the validation images. Each variant first
trains for three epochs, to time the last two; then, for each seed, for as many epochs as fit into --minutes, with its
own cosine. Test images are scored at their source size. Prints mean ± standard deviation over the seeds; the runs stay
in checkpoint_best/ and output/, named SYSTEM_VARIANT_SEED.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
ADSTNET = ["--loss", "bce", "--learning_rate", "2e-3"]
LF_NET = ["--loss", "l1", "--learning_rate", "5e-4", "--beta_1", "0.5"]
VARIANTS = {
    "adstnet": {
        "unet16": ["--model", "unet16", *ADSTNET],
        "adstnet": ["--model", "adstnet", *ADSTNET],
    },
    "jaal_net": {
        "lf_net": ["--model", "lf_net", "--options", "{width: 8}", *LF_NET],
        "jaal_net": ["--model", "jaal_net", "--options", "{width: 8, discriminator_width: 16}", *LF_NET],
    },
    "attributes": {
        "unet": ["--model", "attributes_unet", "--options", "{width: 16}"],
        "residual": ["--model", "attributes_residual_unet", "--options", "{width: 16}"],
        "attention": ["--model", "attributes_attention_unet", "--options", "{width: 16}"],
        "convnext": ["--model", "attributes_convnext_unet", "--options", "{width: 48, weights: none}"],
    },
}
LESIONS = ["--batch_size", "16", "--schedule", "cosine", "--precision", "bfloat16", "--flip", "true", "--turn", "true"]
LESIONS += ["--monitor", "epoch"]
ATTRIBUTES = ["--config", str(ROOT / "configs" / "attributes_cpu.yaml")]
LESION_SCORES = ("Jaccard", "Hausdorff 95 %, px", "boundary F1")
ATTRIBUTE_SCORES = ("challenge Jaccard", "macro Jaccard", "soft macro Dice")
LINE = "{:14}{:>8}{:>20}{:>20}{:>20}"


def call(script, *arguments):
    """Run a script of the repository; SystemExit with what it printed if it fails."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run([sys.executable, ROOT / script, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{script} {' '.join(map(str, arguments))}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def train(run, system, variant, data, epochs, seed):
    """Train a run anew; returns its log."""
    for folder in ("checkpoint", "checkpoint_best", "output"):
        shutil.rmtree(Path(folder, run), ignore_errors=True)
    common = ATTRIBUTES if system == "attributes" else LESIONS
    changes = ["--data", data, "--run", run, "--epochs", str(epochs), "--seed", str(seed)]
    call("train.py", *common, *VARIANTS[system][variant], *changes)
    return pd.read_csv(Path("output", run, "log.csv"))


def affordable(system, variant, data, minutes):
    """How many epochs of a variant fit into these minutes."""
    seconds = train(f"{system}_{variant}_trial", system, variant, data, 3, 0)["seconds"].iloc[1:].mean()
    return max(1, round(60 * minutes / seconds))


def newest_scores(name):
    """The scores of the newest evaluation of a run."""
    newest = max(Path("output", name).glob("*/metrics.json"), key=lambda file: file.stat().st_mtime_ns)
    return json.loads(newest.read_text(encoding="utf-8"))


def lesion_scores(run, data, part="backbone"):
    """(mean Jaccard, mean 95 % Hausdorff distance in pixels, mean boundary F1) of the test images."""
    call("evaluate.py", "--run", run, "--data", data, "--split", "test", "--boundary", "--part", part)
    name = run if part == "backbone" else f"{run}_head"
    found = newest_scores(name)
    distances = [found["boundary"][key]["mean"] for key in ("hausdorff95", "boundary_f1")]
    return found["per_image"]["jaccard"], *(math.nan if mean is None else mean for mean in distances)  # all empty: None


def attribute_scores(run, data):
    """(challenge Jaccard, macro Jaccard, soft macro Dice) of the test images.

    The challenge's with the thresholds for all attributes together, macro with those for each by itself, both chosen on
    the validation images.
    """
    found = {}
    for split, thresholds in (("val", "0.5"), ("test", "best"), ("test", "challenge")):
        call("evaluate.py", "--run", run, "--data", data, "--split", split, "--threshold", thresholds)
        found[thresholds] = newest_scores(run)
    macro = found["best"]["class_mean"]
    return found["challenge"]["challenge"]["jaccard"], macro["jaccard"], macro["soft_dice"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", choices=VARIANTS)
    parser.add_argument("--data", help="prepared arrays (default as above)")
    parser.add_argument("--minutes", type=float, help="of training a variant and seed (default 2; attributes 5)")
    parser.add_argument("--epochs", type=int, nargs="+", help="of each variant, instead of those that fit --minutes")
    parser.add_argument("--seeds", type=int, nargs="+", help="default 1 2 3; attributes 1")
    args = parser.parse_args()
    system = args.system
    attributes = args.system == "attributes"
    data = args.data or ("dataset_isic18_task2_128x128" if attributes else "dataset_isic18_64x64")
    minutes = args.minutes or (5 if attributes else 2)
    epochs = args.epochs or [affordable(system, variant, data, minutes) for variant in VARIANTS[system]]
    if len(epochs) != len(VARIANTS[system]):
        parser.error(f"--epochs: expected {len(VARIANTS[system])} numbers, for {', '.join(VARIANTS[system])}")
    epochs = dict(zip(VARIANTS[system], epochs, strict=True))
    scores = {}
    print(f"epochs: {epochs}", flush=True)
    for seed in args.seeds or ([1] if attributes else [1, 2, 3]):
        for variant in VARIANTS[system]:
            run = f"{system}_{variant}_{seed}"
            train(run, system, variant, data, epochs[variant], seed)
            found = attribute_scores(run, data) if attributes else lesion_scores(run, data)
            scores.setdefault(variant, []).append(found)
            if variant == "adstnet":
                scores.setdefault("adstnet head", []).append(lesion_scores(run, data, "head"))
    print(LINE.format("", "epochs", *(ATTRIBUTE_SCORES if attributes else LESION_SCORES)))
    for name, values in scores.items():
        spread = [(statistics.mean(v), statistics.stdev(v) if len(v) > 1 else 0.0) for v in zip(*values, strict=True)]
        cells = [f"{mean:.4f} ± {deviation:.4f}" for mean, deviation in spread]
        print(LINE.format(name, epochs[name.split()[0]], *cells))


if __name__ == "__main__":
    main()
