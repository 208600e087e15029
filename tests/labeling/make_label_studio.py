"""Makes the fixtures beside it with Label Studio's own SDK, which is not installed for the tests: it wants OpenCV 4.

    python -m venv /tmp/sdk && /tmp/sdk/bin/pip install label-studio-sdk==2.1.2
    /tmp/sdk/bin/python tests/labeling/make_label_studio.py

label_studio.json          an export of Label Studio: brushes by the SDK's encoder, one with soft edges, and a polygon
label_studio.npz           its masks by the SDK: brushes by its decoder (alpha), "polygon" by its conversion to COCO
label_studio_coco.json     that conversion
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from label_studio_sdk.converter import Converter, brush

HERE = Path(__file__).parent
HEIGHT, WIDTH = 48, 64
CONFIG = (
    '<View><Image name="image" value="$image"/><BrushLabels name="tag" toName="image"><Label value="lesion"/>'
    '</BrushLabels><PolygonLabels name="outline" toName="image"><Label value="lesion"/></PolygonLabels></View>'
)
POINTS = [[10.3, 12.5], [71.9, 20.0], [88.8, 77.1], [40.0, 95.2], [22.2, 60.6]]  # percent


def result(kind, value, name):
    head = {"id": name, "type": kind, "origin": "manual", "to_name": "image", "image_rotation": 0}
    head |= {"from_name": "tag" if kind == "brushlabels" else "outline", "original_width": WIDTH}
    return head | {"original_height": HEIGHT, "value": {**value, kind: ["lesion"]}}


def task(number, image, results):
    annotation = {"id": number, "result": results, "was_cancelled": False, "completed_by": {"id": 1, "email": "a@b.c"}}
    return {"id": number, "data": {"image": image}, "annotations": [annotation], "predictions": []}


def main():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ring = ((x - 30) ** 2 + (y - 25) ** 2 < 400) & ((x - 33) ** 2 + (y - 22) ** 2 > 30)
    noise = np.random.default_rng(0).random((HEIGHT, WIDTH)) > 0.5
    soft = np.clip(255 * (1.4 - np.hypot(x - 20, y - 20) / 15), 0, 255).astype(np.uint8)
    alphas = {"ring": ring * np.uint8(255), "noise": noise * np.uint8(255), "soft": soft}
    tasks = []
    for number, (name, alpha) in enumerate(alphas.items(), 1):
        packed = [int(byte) for byte in brush.encode_rle(np.repeat(alpha.ravel(), 4))]
        results = [result("brushlabels", {"format": "rle", "rle": packed}, name)]
        address = f"/data/upload/1/0a1b2c3d-{name}.png" if name == "ring" else f"/data/local-files/?d=photos/{name}.png"
        tasks.append(task(number, address, results))
    tasks.append(task(4, "/data/upload/1/polygon.png", [result("polygonlabels", {"points": POINTS}, "polygon")]))
    (HERE / "label_studio.json").write_text(json.dumps(tasks) + "\n")

    decoded = {}
    for one, name in zip(tasks, alphas, strict=False):
        packed = one["annotations"][0]["result"][0]["value"]["rle"]
        decoded[name] = brush.decode_rle(packed).reshape(HEIGHT, WIDTH, 4)[..., 3]
    np.savez_compressed(HERE / "label_studio.npz", **decoded)

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.json"
        source.write_text(json.dumps(tasks[3:]))
        converter = Converter(CONFIG, project_dir=None, download_resources=False)
        converter.convert_to_coco(str(source), folder, output_image_dir=f"{folder}/images", is_dir=False)
        converted = json.loads((Path(folder) / "result.json").read_text())
    (HERE / "label_studio_coco.json").write_text(json.dumps(converted) + "\n")


if __name__ == "__main__":
    main()
