"""Images per second of predict.py against the network's own, on JPEG files of 1024 × 768 (goal: 0.8 of the network's).

python benchmarks/predict.py [--images 500] [--network unet16]
"""

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import config
import model
import predict
import runs
from datasets import synthetic
from imaging import files as image_files
from utils.arguments import snake_case

DISTINCT = 10  # pictures, written again and again


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--network", default="unet16")
    arguments = parser.parse_args(snake_case())
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        # 1. a run with random weights, and pictures
        run = runs.BEST / "random"
        run.mkdir(parents=True)
        model.build(arguments.network, input_shape=(192, 256, 3)).save(run / "model.keras")
        settings = config.Settings(run="random", normalize=model.REGISTRY[arguments.network].normalization)
        config.save(settings, run / "settings.yaml")
        Path("in").mkdir()
        pictures = [synthetic.phantom(seed, 768, 1024)[0] for seed in range(DISTINCT)]
        files = [cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1] for picture in pictures]
        for i in range(arguments.images):
            Path(f"in/{i:05}.jpg").write_bytes(files[i % DISTINCT])
        predictor = predict.load_predictor("random")

        # 2. the network alone, on one batch again and again; then files to masks
        batch = np.stack([predictor.fit(picture) for picture in pictures])
        batch = batch[np.arange(settings.batch_size) % DISTINCT]  # (16, 192, 256, 3)
        predictor.probabilities(batch)
        steps = range(0, arguments.images, settings.batch_size)
        alone = seconds(lambda: [predictor.probabilities(batch) for _ in steps])
        files = seconds(lambda: predict.predict(predictor, image_files.find_images(["in"]), Path("out")))
        print("seconds            clock  processor")
        print(f"network alone  {alone[0]:9.2f} {alone[1]:10.2f}")
        print(f"predict.py     {files[0]:9.2f} {files[1]:10.2f}")
        print(f"network/all    {alone[0] / files[0]:9.2f} {alone[1] / files[1]:10.2f}   goal 0.80")


def seconds(work):
    """Clock and processor seconds of a call; the latter are what counts while other programs use the cores too."""
    clock = time.perf_counter()
    processor = time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


if __name__ == "__main__":
    main()
