"""What AdSTNet's head and JAAL-Net's adversary do for the network that is deployed: equal time, several seeds.

    python dataset_isic18.py --archives DIR --size 64x64 --root dataset_isic18_64x64
    python experiments/equal_time.py adstnet                # 20 minutes on two CPU cores, which nothing else may use
    python experiments/equal_time.py jaal_net               # 20 minutes
    python experiments/equal_time.py adstnet --epochs 20 12 # the epochs that another machine found: the same again

adstnet: U-Net of width 16 alone, and as the backbone of AdSTNet, whose head is scored too. jaal_net: LF-Net of width 8
by the L1 of its generator alone, and within JAAL-Net. Each variant first trains for three epochs, to time the last two;
then, for each seed, for as many epochs as fit into --minutes, with its own cosine. Test images are scored at their
source size. Prints mean ± standard deviation over the seeds; the runs stay in checkpoint_best/ and output/, special_….
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
COMMON = ["--batch_size", "16", "--schedule", "cosine", "--precision", "bfloat16", "--flip", "true", "--turn", "true"]
COMMON += ["--monitor", "epoch"]
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
}
LINE = "{:14}{:>8}{:>20}{:>20}{:>20}"


def call(script, *arguments):
    """Run a script of the repository; SystemExit with what it printed if it fails."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run([sys.executable, ROOT / script, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{script} {' '.join(map(str, arguments))}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def train(run, settings, data, epochs, seed):
    """Train a run anew; returns its log."""
    for folder in ("checkpoint", "checkpoint_best", "output"):
        shutil.rmtree(Path(folder, run), ignore_errors=True)
    changes = ["--data", data, "--run", run, "--epochs", str(epochs), "--seed", str(seed)]
    call("train.py", *COMMON, *settings, *changes)
    return pd.read_csv(Path("output", run, "log.csv"))


def affordable(name, settings, args):
    """How many epochs of a variant fit into --minutes."""
    seconds = train(f"special_{name}_trial", settings, args.data, 3, 0)["seconds"].iloc[1:].mean()
    return max(1, round(60 * args.minutes / seconds))


def score(run, part="backbone"):
    """(mean Jaccard, mean 95 % Hausdorff distance in pixels, mean boundary F1) of the test images."""
    call("evaluate.py", "--run", run, "--split", "test", "--boundary", "--output", part)
    name = run if part == "backbone" else f"{run}_head"
    found = json.loads(Path("output", name, "metrics.json").read_text(encoding="utf-8"))
    distances = [found["boundary"][key]["mean"] for key in ("hausdorff95", "boundary_f1")]
    return found["per_image"]["jaccard"], *(math.nan if mean is None else mean for mean in distances)  # all empty: None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("system", choices=VARIANTS)
    parser.add_argument("--data", default="dataset_isic18_64x64", help="prepared arrays")
    parser.add_argument("--minutes", type=float, default=2.0, help="of training a variant and seed (default 2)")
    parser.add_argument("--epochs", type=int, nargs=2, help="of each variant, instead of those that fit into --minutes")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args()
    variants, scores = VARIANTS[args.system], {}
    epochs = args.epochs or [affordable(name, settings, args) for name, settings in variants.items()]
    epochs = dict(zip(variants, epochs, strict=True))
    print(f"epochs: {epochs}", flush=True)
    for seed in args.seeds:
        for name, settings in variants.items():
            run = f"special_{name}_{seed}"
            train(run, settings, args.data, epochs[name], seed)
            scores.setdefault(name, []).append(score(run))
            if name == "adstnet":
                scores.setdefault("adstnet head", []).append(score(run, "head"))
    print(LINE.format("", "epochs", "Jaccard", "Hausdorff 95 %, px", "boundary F1"))
    for name, values in scores.items():
        spread = [(statistics.mean(v), statistics.stdev(v) if len(v) > 1 else 0.0) for v in zip(*values, strict=True)]
        cells = [f"{mean:.4f} ± {deviation:.4f}" for mean, deviation in spread]
        print(LINE.format(name, epochs[name.split()[0]], *cells))


if __name__ == "__main__":
    main()
