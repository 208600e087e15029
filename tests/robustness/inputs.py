"""Whole inputs that the campaign damages, kills over and carries about: tiny folders of every kind, in the cwd.

Each is written by a child (children.must), for they need TensorFlow.
"""

import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
from discs import disc, write_discs
from lives import argv
from miniature import picture, save, square, write_isic2018, zip_folders
from picture_files import encode, pil_bytes
from PIL import Image
from raw_folders import ham10000
from safetensors.numpy import save_file

import evaluate
import predict
import train
from datasets import __main__ as datasets_command

SMALL = ["--size", "24x32"]
LESION = square(3)
LARGE = picture(1, (60, 80))[..., ::-1].copy()


def pictures():
    """data/train: a pair for each format of images, with a PNG mask, and arrays of former pictures in out/."""
    kinds = {
        "a.jpg": pil_bytes(picture(1)[..., ::-1].copy(), "RGB", "JPEG", quality=90),
        "b.jpg": pil_bytes(picture(2)[..., ::-1].copy(), "RGB", "JPEG", quality=90, progressive=True),
        "c.png": encode(picture(3), ".png"),
        "d.bmp": encode(picture(4), ".bmp"),
        "e.tif": pil_bytes(picture(5)[..., ::-1].copy(), "RGB", "TIFF", compression="tiff_lzw"),
        "f.tif": pil_bytes(picture(6)[..., ::-1].copy(), "RGB", "TIFF", compression="tiff_deflate"),
        "g.webp": pil_bytes(picture(7)[..., ::-1].copy(), "RGB", "WEBP", lossless=True),
    }
    for name, data in kinds.items():
        _put(Path("data/train/images", name), data)
        _put(Path("data/train/masks", name).with_suffix(".png"), encode(LESION, ".png"))
    _former_arrays()


def masks():
    """data/train: a pair for each format of masks, with a PNG image, and arrays of former pictures in out/."""
    palette = Image.fromarray(LESION // 255).convert("P")
    palette.putpalette([0, 0, 0, 255, 255, 255])
    palette.save(_folder("data/train/masks") / "b.png")
    kinds = {
        "a.png": encode(LESION, ".png"),
        "c.bmp": pil_bytes(LESION, "1", "BMP"),
        "d.tif": pil_bytes(LESION, "L", "TIFF", compression="tiff_lzw"),
        "e.webp": pil_bytes(LESION, "RGB", "WEBP", lossless=True),
        "f.jpg": encode(LESION, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95),
        "g.png": encode(LESION.astype(np.uint16) * 257, ".png"),
    }
    for name, data in kinds.items():
        _put(Path("data/train/masks", name), data)
    for number, name in enumerate("abcdefg"):
        _put(Path(f"data/train/images/{name}.png"), encode(picture(number), ".png"))
    _former_arrays()


def _former_arrays():
    for kind, pixels in (("images", picture(9)), ("masks", LESION)):
        save(Path("former/train", kind, "z.png"), pixels)
    datasets_command.main(["folder", "--folders", "former", "--root", "out", *SMALL])


def archives():
    """zips/: the official archives of ISIC 2018 Task 1, packed in every way; folders/: the same unpacked."""
    write_isic2018(Path("folders"), {"train": 4, "val": 2})
    zip_folders(Path("folders"), Path("zips"))
    methods = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    for method, path in zip(methods, sorted(Path("zips").glob("*.zip")), strict=True):
        folder = Path("folders", path.stem)
        with zipfile.ZipFile(path, "w", method) as archive:
            for file in sorted(folder.iterdir()):
                archive.write(file, f"{folder.name}/{file.name}")


def submission_zip():
    """theirs.zip: the masks of ISIC 2018 Task 1 of the images in images/."""
    with zipfile.ZipFile("theirs.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(4):
            save(Path(f"images/ISIC_{number:07}.png"), picture(number))
            archive.writestr(f"ISIC_{number:07}_segmentation.png", encode(square(number), ".png"))


def lesions():
    """ham/: HAM10000 as folders, with its table of lesions."""
    ham10000(Path("ham"))
    rows = [f"HAM_{number // 2:07},ISIC_{number:07},mel,histo,50.0,male,back\n" for number in range(20)]
    head = "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
    Path("ham/HAM10000_metadata.csv").write_text(head + "".join(rows))


def settings():
    """mine.yaml: settings of ours; study.yaml: some in the keys of the attribute study."""
    Path("mine.yaml").write_text(
        "model: unet\noptions: {width: 4, depth: 2}\ndata: dataset_mine\nloss: bce + 0.5*dice\nepochs: 20\n"
        "batch_size: 8\nlearning_rate: 1e-3\nschedule: cosine\nflip: true\nrotation: 20\nseed: 3\nthreshold: 0.5\n"
        "monitor: val_jaccard\nnormalize: unit\nclass_weights: balanced\n"
    )
    Path("study.yaml").write_text(
        "epochs: 40\nbatch_size: 32\nlr: 1e-4\nscale: 0.5\nval: 10.0\namp: true\nclasses: 5\nmodel: unet\n"
        "scheduler: cosine\noptimizer: adam\ninit: kaiming\nt_max: 30\neta_min: 1e-6\nweight_decay: 1e-8\n"
    )


def discs():
    """discs/: prepared arrays."""
    write_discs("discs", counts={"train": 6, "val": 3, "test": 3})


def run():
    """discs/, and the run `tiny` that was trained on them for an epoch; photos/ to predict."""
    discs()
    train.main(argv("discs", "tiny", "--epochs", "1"))
    photos()


def evaluated():
    """As `run`, and evaluated on both splits; `other`, of other thresholds, too."""
    run()
    for name in ("tiny", "other"):
        if name == "other":
            shutil.copytree("checkpoint_best/tiny", "checkpoint_best/other")
        evaluate.main(["--run", name, "--split", "val", "--at", "network"])


def predicted():
    """As `run`, and photos/ predicted into out/."""
    run()
    predict.main(["photos", "--run", "tiny", "--out", "out"])


def photos(count=5):
    """photos/: so many pictures of 60 x 80, in turn of every format."""
    suffixes = (".jpg", ".png", ".bmp", ".tif", ".webp")
    for number in range(count):
        suffix = suffixes[number % len(suffixes)]
        save(Path(f"photos/photo{number}{suffix}"), picture(number, (60, 80)))


def unfinished():
    """discs/, and the run `tiny` with an epoch of two done, as one that was stopped."""
    discs()
    arguments = argv("discs", "tiny", "--epochs", "2", "--patience", "0")
    train.main(arguments)
    sorted(Path("checkpoint/tiny").glob("step_*.npz"))[-1].unlink()


def torch_weights():
    """da.safetensors: a DA-Net of width 4 as its original names the weights."""
    from reference_weights import reference, values

    state = {tensor["name"]: values(tensor) for tensor in reference("jaal_da_net")[0]["tensors"]}
    save_file(state, "da.safetensors")


def mask_files():
    """truth/ and masks/: three mask files each, of ISIC 2018's names."""
    for number in range(3):
        save(Path(f"truth/ISIC_{number:07}_segmentation.png"), square(number))
        save(Path(f"masks/ISIC_{number:07}_segmentation.png"), square(number + 1))


def discs_of(count, size):
    """Yields so many images and masks."""
    random = np.random.default_rng(1)
    for _ in range(count):
        yield disc(random, *size)


def raw_discs(count=24):
    """raw/: own data, so many pairs as PNG files of 120 x 160."""
    for number, (image, mask) in enumerate(discs_of(count, (120, 160))):
        save(Path(f"raw/train/images/{number:03}.png"), image[..., ::-1])
        save(Path(f"raw/train/masks/{number:03}.png"), mask[..., 0] * 255)


def _folder(path):
    Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path)


def _put(path, data):
    (_folder(path.parent) / path.name).write_bytes(data)
