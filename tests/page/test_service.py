"""The server's API: what it answers, what it refuses, and that one request does not harm another."""

import asyncio
import contextlib
import json
import threading

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_masks
from tiny_run import save_run, trusting

import predict
import serve
from utils.errors import UserError

pytest.importorskip("starlette", reason="Starlette is not installed: pip install starlette")
httpx = pytest.importorskip("httpx", reason="httpx is not installed: pip install httpx")

from page import service  # noqa: E402


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    with contextlib.chdir(tmp_path_factory.mktemp("run")):
        save_run("tiny", size=(24, 32))
        yield predict.load_predictor("tiny")


@pytest.fixture
def picture(tmp_path):
    image = np.zeros((60, 80, 3), np.uint8)
    cv2.ellipse(image, (40, 30), (20, 12), 0, 0, 360, (255, 255, 255), -1)
    path = tmp_path / "spot.png"
    cv2.imwrite(str(path), image)
    return path


def asked(predictor, *requests):
    """The answers to requests, (method, path, arguments) each, that are sent at the same time."""

    async def all_of_them():
        transport = httpx.ASGITransport(service.application(predictor))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await asyncio.gather(*(client.request(how, path, **more) for how, path, more in requests))

    return asyncio.run(all_of_them())


def post(path, data, **more):
    return "POST", path, {"content": data, **more}


def test_json_and_png_are_what_predict_writes(predictor, picture, tmp_path):
    data = picture.read_bytes()
    answer, png = asked(predictor, post("/predict?name=spot.png", data), post("/predict?format=png", data))
    predict.predict(predictor, [picture], tmp_path / "out")
    assert png.content == (tmp_path / "out/spot_segmentation.png").read_bytes()
    found = answer.json()
    mask = predictor(picture)[0][..., 0]
    assert (found["name"], found["height"], found["width"], found["size"]) == ("spot.png", 60, 80, [24, 32])
    assert found["masks"][0]["measures"]["area"] == mask.sum() > 0
    np.testing.assert_array_equal(coco_masks.decode(found["masks"][0]["segmentation"]), mask)


def test_the_answer_says_how_far_to_trust_the_mask(predictor, picture):
    trusted = trusting(predictor)
    (answer,) = asked(trusted, post("/predict", picture.read_bytes()))
    found, expected = answer.json(), trusted.assess(picture)
    assert found["temperatures"] == [2.0]
    assert found["unusual"] == expected.reasons and "no skin-like colors" in expected.reasons
    measures = found["masks"][0]["measures"]
    assert measures["predicted_jaccard"] == pytest.approx(expected.jaccards[0], abs=1e-4)
    masks, probabilities = trusted(picture)
    assert measures["mean_confidence"] == pytest.approx(probabilities[masks].mean(), abs=1e-4)
    (plain,) = asked(predictor, post("/predict", picture.read_bytes()))
    assert plain.json()["unusual"] == [] and "predicted_jaccard" not in plain.json()["masks"][0]["measures"]
    assert plain.json()["masks"][0]["measures"]["mean_confidence"] > measures["mean_confidence"]


def test_bad_requests_are_refused_and_the_good_one_is_answered(predictor, picture, tmp_path, monkeypatch):
    monkeypatch.setattr(service, "MAX_BYTES", 20_000)
    bad = tmp_path / "bad.png"
    bad.write_bytes(picture.read_bytes()[:40])
    with pytest.raises(UserError) as told:
        predictor.read(bad)
    answers = asked(
        predictor,
        post(f"/predict?name={bad}", bad.read_bytes()),
        post("/predict", b""),
        post("/predict", bytes(20_001)),
        post("/predict?format=gif", picture.read_bytes()),
        post("/predict?format=png&class=hair", picture.read_bytes()),
        post("/predict", picture.read_bytes(), headers={"Origin": "https://example.org"}),
        post("/predict", picture.read_bytes()),
    )
    assert [answer.status_code for answer in answers] == [422, 400, 413, 400, 400, 403, 200]
    assert answers[0].json() == {"error": str(told.value)}


def test_a_decompression_bomb_is_refused_by_its_header(predictor, picture):
    data = bytearray(picture.read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2  # width and height
    (answer,) = asked(predictor, post("/predict", bytes(data)))
    assert answer.status_code == 422


def test_a_full_queue_says_come_later(predictor, picture, monkeypatch):
    gate = threading.Event()
    compute = predictor._compute
    monkeypatch.setattr(service, "QUEUE", 3)
    monkeypatch.setattr(predictor, "_compute", lambda images: gate.wait(10) and compute(images))
    threading.Timer(0.5, gate.set).start()
    answers = asked(predictor, *[post("/predict", picture.read_bytes())] * 5)
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200, 200, 200, 503, 503]
    assert all(answer.headers["retry-after"] == "2" for answer in answers if answer.status_code == 503)


def test_every_answer_forbids_foreign_connections(predictor):
    answers = asked(predictor, ("GET", "/", {}), ("GET", "/about.json", {}), ("GET", "/app.js", {}))
    for answer in answers:
        assert answer.status_code == 200 and "connect-src 'self'" in answer.headers["content-security-policy"]
        assert "set-cookie" not in answer.headers
    (foreign,) = asked(predictor, ("GET", "/", {"headers": {"Host": "example.org"}}))
    assert foreign.status_code == 400


def test_the_description_names_every_path(predictor):
    (answer,) = asked(predictor, ("GET", "/openapi.json", {}))
    assert set(json.loads(answer.content)["paths"]) == {"/predict", "/picture", "/about.json"}


def test_addresses(tmp_path):
    assert serve.is_local("127.0.0.1") and serve.is_local("localhost") and serve.is_local("::1")
    assert not serve.is_local("0.0.0.0") and not serve.is_local("192.168.1.5")
    first = serve.bound("127.0.0.1", 0)
    first.listen()
    with pytest.raises(UserError, match="choose another --port"):
        serve.bound("127.0.0.1", first.getsockname()[1])
    first.close()
