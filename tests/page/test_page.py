"""The page in a real browser: what it shows and saves is what predict.py gives, and nothing leaves the origin."""

import base64
import contextlib
import csv
import dataclasses
import functools
import io
import json
import os
import shutil
import socket
import threading
import time
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_masks
from tiny_run import save_run, trusting

from datasets.phantoms import phantom
from imaging import decode, image_statistics, mask_shape
from inference import calibration, conversion, image_range, quality
from page import static_site
from predict import load_predictor
from utils.errors import UserError

pytest.importorskip("playwright", reason="Playwright is not installed: pip install playwright")
pytest.importorskip("starlette", reason="Starlette is not installed: pip install starlette")
uvicorn = pytest.importorskip("uvicorn", reason="Uvicorn is not installed: pip install uvicorn")
from playwright.sync_api import sync_playwright  # noqa: E402

from page import service  # noqa: E402

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed: apt-get install chromium")
SIZE = (24, 32)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with contextlib.chdir(folder):
        save_run("tiny", size=SIZE, clean=True)
        return load_predictor("tiny")


@contextlib.contextmanager
def serving(predictor):
    """The page is served inside `with`; gives its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(service.application(predictor), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def address(predictor):
    with serving(predictor) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextlib.contextmanager
def loaded(browser, address):
    """The page, loaded; afterwards no request has left its origin and nothing was reported as wrong."""
    opened = browser.new_page(viewport={"width": 1280, "height": 800})
    asked, wrong = [], []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda problem: wrong.append(str(problem)))
    opened.goto(address)
    opened.wait_for_selector("body[data-ready]")
    yield opened
    cookies = opened.context.cookies()
    opened.close()
    assert asked and not [url for url in asked if not url.startswith((address, "blob:" + address[:-1], "data:"))]
    assert not wrong and not cookies


@pytest.fixture
def page(browser, address):
    with loaded(browser, address) as opened:
        yield opened


def photograph(path, height=120, width=160, blobs=(((80, 60), (38, 26)), ((140, 20), (7, 5)))):
    """A PNG of gray shades with bright ellipses, (center, axes) each, in noise."""
    image = np.full((height, width, 3), 60, np.float32)
    for center, axes in blobs:
        cv2.ellipse(image, center, axes, 25, 0, 360, (200, 200, 200), -1)
    image = cv2.GaussianBlur(image, (0, 0), 5) + np.random.default_rng(1).normal(0, 6, image.shape)
    cv2.imwrite(str(path), np.clip(image, 0, 255).astype(np.uint8))
    return path


def give(page, *paths):
    page.set_input_files("#files", [str(path) for path in paths])
    page.wait_for_selector("[data-save=zip]:enabled")


def saved(page, kind):
    with page.expect_download() as download:
        page.click(f"[data-save={kind}]")
    return Path(download.value.path()).read_bytes()


def mean_confidence(predictor, path):
    masks, probabilities = predictor(path)
    return probabilities[masks].mean()


def gray(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def test_masks_and_measures_are_those_of_predict(page, predictor, tmp_path):
    path = photograph(tmp_path / "spot.png")
    give(page, path)
    masks, probabilities = predictor(path)
    assert 1000 < masks.sum() < masks.size / 2
    np.testing.assert_array_equal(gray(saved(page, "mask")), masks[..., 0] * np.uint8(255))
    row = next(csv.DictReader(io.StringIO(saved(page, "csv").decode())))
    expected = mask_shape.describe(np.ascontiguousarray(masks[..., 0]), np.ascontiguousarray(probabilities[..., 0]))
    for name, value in expected.items():
        assert float(row[name]) == pytest.approx(value, rel=2e-3, abs=2e-3), name
    assert (row["image"], row["class"], row["corrected"]) == ("spot.png", predictor.classes[0], "no")
    assert page.locator("tr[data-measure=area] td").last.inner_text() == f"{masks.sum():,} px"
    page.fill("#scale", "10")
    assert page.locator("tr[data-measure=area] td").last.inner_text() == f"{masks.sum() / 100:.2f} mm²"


def test_how_far_to_trust_the_mask_is_said(browser, predictor, tmp_path):
    trusted = trusting(predictor)
    trusted.trust.models[0]["least"] = 0.99  # so that the mask is one to be looked at
    path = photograph(tmp_path / "spot.png")
    expected = trusted.assess(path)
    with serving(trusted) as address, loaded(browser, address) as page:
        give(page, path)
        assert page.locator("#unusual").inner_text() == f"Check this mask: {expected.why}."
        assert page.locator(".item small").inner_text() == "160 × 120 · check"
        row = next(csv.DictReader(io.StringIO(saved(page, "csv").decode())))
        assert float(row["predicted_jaccard"]) == pytest.approx(expected.jaccards[0], abs=1e-4)
        assert row["unusual"] == expected.why and "no skin-like colors" in expected.why
        masks, probabilities = trusted(path)
        assert float(row["mean_confidence"]) == pytest.approx(probabilities[masks].mean(), abs=1e-3)
        page.locator("[data-threshold]").fill("0.9")  # another mask, of which nobody has estimated anything
        row = next(csv.DictReader(io.StringIO(saved(page, "csv").decode())))
        assert row.get("predicted_jaccard", "") == ""
        of_image = [reason for reason in expected.reasons if reason not in image_range.OF_MASK]
        assert 0 < len(of_image) < len(expected.reasons) and row["unusual"] == "; ".join(of_image)
        assert page.locator("#unusual").inner_text() == f"Check this mask: {'; '.join(of_image)}."


def test_the_threshold_and_the_clean_up_move_the_mask_at_once(page, predictor, tmp_path):
    path = photograph(tmp_path / "spot.png")
    give(page, path)
    page.locator("[data-threshold]").fill("0.9")
    page.uncheck("#clean")
    _, probabilities = predictor(path)
    np.testing.assert_array_equal(gray(saved(page, "mask")) > 0, probabilities[..., 0] >= np.float32(0.9))


def test_brush_eraser_undo_and_keys_correct_the_mask(page, tmp_path):
    give(page, photograph(tmp_path / "spot.png"))
    before = gray(saved(page, "mask"))
    box = page.locator("#canvas").bounding_box()
    scale = min(box["width"] / 160, box["height"] / 120)
    left = box["x"] + (box["width"] - 160 * scale) / 2
    top = box["y"] + (box["height"] - 120 * scale) / 2

    def drag(tool, x0, y0, x1, y1):
        page.click(f"[data-tool={tool}]")
        page.mouse.move(left + x0 * scale, top + y0 * scale)
        page.mouse.down()
        page.mouse.move(left + x1 * scale, top + y1 * scale, steps=4)
        page.mouse.up()

    page.locator("#radius").fill("50")  # (160 / 8) × 0.5² = 5 pixels
    drag("brush", 20, 100, 60, 100)
    added = gray(saved(page, "mask"))
    assert added[100, 18:62].all() and added[96:104, 40].all() and not added[92, 40] and not before[100, 40]
    drag("eraser", 70, 60, 90, 60)
    assert not gray(saved(page, "mask"))[60, 70:90].any() and before[60, 70:90].all()
    assert "yes" in saved(page, "csv").decode()
    page.keyboard.press("Control+z")
    np.testing.assert_array_equal(gray(saved(page, "mask")), added)
    page.click("#undo")
    np.testing.assert_array_equal(gray(saved(page, "mask")), before)
    page.click("#redo")
    np.testing.assert_array_equal(gray(saved(page, "mask")), added)
    page.click("#undo")
    page.focus("#canvas")
    page.keyboard.press("e")
    page.keyboard.press("Space")  # in the middle of the image
    assert not gray(saved(page, "mask"))[58:62, 78:82].any()


def test_the_archive_holds_every_form_of_every_image(page, predictor, tmp_path):
    paths = [photograph(tmp_path / "spot.png"), photograph(tmp_path / "other.png", 90, 70, (((30, 40), (15, 22)),))]
    give(page, *paths)
    archive = zipfile.ZipFile(io.BytesIO(saved(page, "zip")))
    assert archive.testzip() is None
    names = {f"{stem}{end}" for stem in ("spot", "other") for end in ("_overlay.png", ".svg", ".json")}
    names |= {f"{stem}_segmentation.png" for stem in ("spot", "other")}
    assert set(archive.namelist()) == names | {"coco.json", "predictions.csv"}
    coco = json.loads(archive.read("coco.json"))
    for image, annotation, path in zip(coco["images"], coco["annotations"], paths, strict=True):
        expected = predictor(path)[0][..., 0]
        assert (image["file_name"], annotation["image_id"]) == (path.name, image["id"])
        np.testing.assert_array_equal(coco_masks.decode(annotation["segmentation"]), expected)
        np.testing.assert_array_equal(gray(archive.read(f"{path.stem}_segmentation.png")) > 0, expected)
        assert gray(archive.read(f"{path.stem}_overlay.png")).shape[:2] == expected.shape
        shape = json.loads(archive.read(f"{path.stem}.json"))["shapes"][0]
        assert shape["label"] == predictor.classes[0]
        (left, top), (right, bottom) = shape["points"]
        part = gray(base64.b64decode(shape["mask"])) > 0
        np.testing.assert_array_equal(part, expected[top : bottom + 1, left : right + 1])
    assert len(list(csv.DictReader(io.StringIO(archive.read("predictions.csv").decode())))) == 2


def test_each_of_five_classes_has_a_threshold_and_a_file(browser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_run("five", size=SIZE, classes=5)
    predictor = load_predictor("five")
    path = photograph(tmp_path / "spot.png")
    with serving(predictor) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        page.wait_for_selector("body[data-ready]")
        give(page, path)
        page.locator("[data-threshold]").nth(1).fill("0.9")
        archive = zipfile.ZipFile(io.BytesIO(saved(page, "zip")))
        page.close()
    _, probabilities = predictor(path)
    for k, name in enumerate(predictor.classes):
        expected = probabilities[..., k] >= np.float32(0.9 if k == 1 else 0.5)
        np.testing.assert_array_equal(gray(archive.read(f"spot_attribute_{name}.png")) > 0, expected)
    rows = list(csv.DictReader(io.StringIO(archive.read("predictions.csv").decode())))
    assert [row["class"] for row in rows] == predictor.classes


def test_a_bad_file_is_named_and_the_others_are_done(page, tmp_path):
    bad = tmp_path / "notes.jpg"
    bad.write_text("no image")
    good = photograph(tmp_path / "spot.png")
    page.set_input_files("#files", [str(bad), str(good)])
    page.wait_for_selector(".item:nth-child(2) small:text('160 × 120')")
    assert page.locator(".item small").all_inner_texts()[0] == "cannot be read"
    assert page.locator("#message").inner_text().startswith("notes.jpg: ")


def test_tiff_is_shown_and_measured(page, predictor, tmp_path):
    cv2.imwrite(str(tmp_path / "spot.tif"), cv2.imread(str(photograph(tmp_path / "spot.png"))))
    give(page, tmp_path / "spot.tif")
    expected = predictor(tmp_path / "spot.tif")[0][..., 0]
    np.testing.assert_array_equal(gray(saved(page, "mask")) > 0, expected)


@pytest.mark.parametrize("width, height", [(375, 740), (1280, 800), (3840, 2160)])
def test_nothing_is_wider_than_the_screen(page, tmp_path, width, height):
    page.set_viewport_size({"width": width, "height": height})
    give(page, photograph(tmp_path / "spot.png"))
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".notice").is_visible() and "not a medical device" in page.locator(".notice").inner_text()
    shot = page.screenshot()
    if "SCREENSHOTS" in os.environ:  # a folder to look at them
        Path(os.environ["SCREENSHOTS"], f"page_{width}.png").write_bytes(shot)
    picture = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[:2] == (height, width)


# === The page without a server ===


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed: apt-get install npm")
def test_the_static_page_gives_the_masks_of_the_server(browser, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_run("tiny", size=SIZE, clean=True, tta=True)
    predictor = load_predictor("tiny")
    deployed = conversion.Deployed(predictor.network, predictor.settings.normalize)
    try:
        site = static_site.write(deployed, tmp_path, "site")
    except UserError as problem:
        pytest.skip(f"no package registry: {problem}")
    settings = dataclasses.asdict(predictor.settings)
    predictor = trusting(predictor)
    trust = predictor.trust
    own = {"temperatures": dict(zip(predictor.classes, trust.temperatures, strict=True))}
    own["quality"] = dict(zip(predictor.classes, trust.models, strict=True))
    facts = {"format": 1, "run": "tiny", "classes": predictor.classes, "settings": settings}
    facts["trust"] = {"tta": own, "images": trust.limits}
    static_site.annotate(site, facts)
    paths = [photograph(tmp_path / f"{i}.png", 100 + i, 150, (((60 + i, 50), (35, 15 + i)),)) for i in range(20)]
    handler = functools.partial(SimpleHTTPRequestHandler, directory=site)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}/"
        opened = browser.new_page()
        asked = []
        opened.on("request", lambda request: asked.append(request.url))
        opened.goto(place)
        opened.wait_for_selector("body[data-ready]")
        give(opened, *paths)
        archive = zipfile.ZipFile(io.BytesIO(saved(opened, "zip")))
        opened.close()
        server.shutdown()
    assert not [url for url in asked if not url.startswith((place, "blob:" + place[:-1], "data:"))]
    rows = {row["image"]: row for row in csv.DictReader(io.StringIO(archive.read("predictions.csv").decode()))}
    for path in paths:
        assessed = predictor.assess(path)
        row = rows[path.name]
        assert float(row["predicted_jaccard"]) == pytest.approx(assessed.jaccards[0], abs=0.01)
        assert row["unusual"] == assessed.why
        assert float(row["mean_confidence"]) == pytest.approx(float(mean_confidence(predictor, path)), abs=0.005)
        found = gray(archive.read(f"{path.stem}_segmentation.png")) > 0
        expected = predictor(path)[0][..., 0]
        assert (found & expected).sum() / (found | expected).sum() >= 0.999


@pytest.mark.parametrize(
    ("function", "size"), [("areas", (24, 32)), ("stretched", (80, 120)), ("stretched", (24, 120))]
)
def test_the_browser_resizes_as_opencv_does(page, function, size):
    image = np.random.default_rng(0).integers(0, 256, (47, 65, 3), np.uint8)
    code = f"""async ([pixels, ...sizes]) =>
        Array.from((await import('./masks.js')).{function}(Uint8Array.from(pixels), ...sizes), Math.round)"""
    found = page.evaluate(code, [image.ravel().tolist(), *image.shape, *size])
    difference = np.array(found).reshape(*size, 3) - decode.resize(image, size).astype(int)
    assert np.abs(difference).max() <= 1 and np.mean(difference != 0) < 0.02


def test_the_browser_computes_the_statistics_of_images(page):
    random = np.random.default_rng(0)
    images = [
        phantom(seed=seed, height=height, width=width).image for seed, height, width in ((1, 64, 64), (2, 37, 53))
    ]
    images += [random.integers(0, 256, (33, 40, 3), np.uint8), np.zeros((32, 32, 3), np.uint8)]
    code = "async ([pixels, height, width]) => (await import('./trust.js')).statistics(pixels, height, width)"
    for image in images:
        found = page.evaluate(code, [image.ravel().tolist(), *image.shape[:2]])
        assert found == pytest.approx(image_statistics.describe(image).tolist(), rel=2e-3, abs=5e-3)


def test_the_browser_tells_unusual_images_as_python_does(page, predictor):
    trust = trusting(predictor).trust
    images = [phantom(seed=seed, height=48, width=64).image for seed in range(100, 110)]
    images += [255 - images[0], images[1] // 5, cv2.GaussianBlur(images[2], (0, 0), 3), images[3][:, ::-1]]
    code = """async ([trust, ...rest]) => (await import('./trust.js')).reasons(trust, ...rest)"""
    words = static_site.trusted(trusting(predictor))
    several = set()
    for image, fraction, jaccard in zip(images, [0.3, 0, 0.95, *[0.4] * 11], [0.29, *[0.31] * 13], strict=True):
        expected = trust.reasons(image, [fraction], [jaccard])
        given = [words, image.ravel().tolist(), *image.shape[:2], [fraction], [jaccard]]
        assert page.evaluate(code, given) == expected
        several.update(expected)
    assert len(several) > 5 and image_range.UNCLEAR in several


def test_the_browser_expects_the_jaccard_that_python_does(page):
    random = np.random.default_rng(0)
    names = list(quality.NAMES)
    model = {
        "names": names,
        "means": random.random(7),
        "scales": 1 + random.random(7),
        "weights": random.normal(size=7) / 20,
    }
    model = {key: each if key == "names" else each.tolist() for key, each in model.items()} | {"intercept": 0.5}
    code = """async ([model, maps, ...rest]) =>
        (await import('./trust.js')).predictedJaccard(model, maps.map((map) => Float32Array.from(map)), ...rest)"""
    for threshold in (0.5, 0.3, 0.99999):
        noise = random.random((2, 30, 40, 2)).astype(np.float32)
        maps = [cv2.GaussianBlur(each, (0, 0), 3) for each in noise]
        maps = [np.clip((each - 0.5) * 8 + 0.5, 0, 1) for each in maps]
        for k in range(2):
            expected = quality.estimate(model, quality.features([each[..., k] for each in maps], threshold))
            given = [model, [each.ravel().tolist() for each in maps], [30, 40, 2], k, threshold]
            assert page.evaluate(code, given) == pytest.approx(float(expected), abs=1e-5)
            assert 0 < expected < 1


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.7, 5.0])
def test_the_browser_calibrates_as_python_does(page, temperature):
    probabilities = np.float32([0, 2**-25, 1e-4, 0.3, 0.5, 0.9, 1 - 2**-24, 1])
    code = """async ([values, temperature]) => {
        const { calibrated } = await import('./masks.js');
        return values.map((p) => calibrated(p, temperature));
    }"""
    expected = calibration.apply(probabilities[:, None], [temperature])[:, 0]
    assert page.evaluate(code, [probabilities.tolist(), temperature]) == pytest.approx(expected.tolist(), abs=1e-6)


def test_another_package_is_refused(tmp_path):
    archive = tmp_path / "package.tgz"
    archive.write_bytes(b"something else")
    with pytest.raises(UserError, match="not the file it should be"):
        static_site.unpack(archive, tmp_path)


def test_a_missing_npm_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="apt-get install npm"):
        static_site.fetch_runtime(tmp_path)
