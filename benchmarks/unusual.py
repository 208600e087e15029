"""Which images a run takes for unlike its training images: those of its test split, changed copies, other pictures.

    python benchmarks/unusual.py [--run RUN] [--data DATA]

Goal: at most 3 % of the test images are flagged, at least 95 % of each other kind. Copies are changed at the size of
the prepared images; other pictures are those that scikit-image and scikit-learn bring along (photographs, microscopy,
drawings), as they are and cut in four; gray ones count as three equal channels.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import skimage
from sklearn.datasets import load_sample_images
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from datasets.arrays import open_split
from datasets.phantoms import phantom
from imaging import files
from inference.arguments import add_run
from predict import load_predictor
from utils.errors import UserError

PHANTOMS = 300


def gray(image):
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def blurred(percent):
    """A blur whose deviation is so many percent of the shorter side."""
    return lambda image: cv2.GaussianBlur(image, (0, 0), percent / 100 * min(image.shape[:2]))


def as_jpeg(image):
    """With the traces that JPEG of quality 95 leaves, as photographs have them."""
    data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


CHANGED = {
    "blurred by 1 % of the shorter side": blurred(1),
    "blurred by 2 %": blurred(2),
    "blurred by 4 %": blurred(4),
    "inverted": lambda image: 255 - image,
    "gray": gray,
    "a fifth as bright": lambda image: image // 5,
}


def pictures():
    """Every picture in scikit-image and scikit-learn, uint8 (H, W, 3) each."""
    for path in sorted(Path(skimage.data_dir).iterdir()):
        try:
            image = files.decode_upright(path.read_bytes())[0]
        except (UserError, IsADirectoryError):  # code, tables, and formats that predict.py does not take either
            continue
        yield image
    yield from load_sample_images().images


def quarters(image):
    top, left = (side // 2 for side in image.shape[:2])
    return [
        image[rows, columns] for rows in (slice(top), slice(top, None)) for columns in (slice(left), slice(left, None))
    ]


def flagged(predictor, images, total=None):
    """The reasons of each image."""
    return [
        predictor.assess(np.ascontiguousarray(image)).reasons
        for image in tqdm(images, total=total, leave=False, disable=None)
    ]


def show(name, reasons):
    counts = Counter(reason for each in reasons for reason in each)
    percent = 100 * np.mean([bool(each) for each in reasons])
    most = ", ".join(f"{reason} {count}" for reason, count in counts.most_common(3))
    print(f"{name:36}{len(reasons):7}{percent:9.1f} %   {most}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run(parser)
    parser.add_argument("--data", help="prepared data, of which the test split is taken; default: the run's")
    given = parser.parse_args()
    predictor = load_predictor(given.run)
    if not predictor.trust.limits:
        sys.exit(f"error: python evaluate.py --run {predictor.name} --split val first: it finds the limits")
    images = open_split(given.data or predictor.settings.data, "test").images
    print(f"{'':36}{'images':>7}{'flagged':>11}   most frequent reasons")
    show("test images", flagged(predictor, images))
    for name, change in CHANGED.items():
        show(name, flagged(predictor, (change(np.asarray(image)) for image in images), len(images)))
    for name, change in {"phantoms": np.asarray, "phantoms as JPEG": as_jpeg}.items():
        drawn = (change(phantom(seed=seed, height=192, width=256).image) for seed in range(PHANTOMS))
        show(name, flagged(predictor, drawn, PHANTOMS))
    others = list(pictures())
    show("pictures of other things", flagged(predictor, others))
    show("the same, cut in four", flagged(predictor, [part for image in others for part in quarters(image)]))


if __name__ == "__main__":
    main()
