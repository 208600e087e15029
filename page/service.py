"""The local server of serve.py: the page, and masks as an API.

    app = service.application(load_predictor("isic18_cpu"))     # ASGI, for Uvicorn
    GET  /                the page, and its files
    GET  /about.json      the run as JSON: name, classes, thresholds, size
    POST /predict         bytes of an image → JSON; ?format=png&class=NAME a mask, ?format=map for the page
    POST /picture         bytes of an image → PNG, upright, for formats that browsers do not show
    GET  /openapi.json    the description of all that

Nothing is stored and nothing leaves the computer: images are decoded in memory and forgotten with the answer.
"""

import asyncio
import base64
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from imaging import files, mask_files, mask_shape, run_lengths
from inference.predictor import Predictor
from page.about import FILES, about
from utils.errors import UserError

MAX_BYTES = 64_000_000  # of an image file
LARGE = 20_000_000  # pixels of an image from which on one at a time is worked on: 100 million take 2 GB
WORKERS = 2  # images at a time
QUEUE = 16  # images that wait or are worked on, at most; the next one is told to come later
UPLOAD_SECONDS = 60.0
WORK_SECONDS = 120.0
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
LOCAL = ["127.0.0.1", "localhost", "[::1]"]


class Service:
    """Answers for a predictor, a few at a time, and the queue before them."""

    def __init__(self, predictor: Predictor):
        self.predictor = predictor
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="predict")
        self._network = threading.Lock()  # one pass at a time: it takes all cores by itself
        self._large = threading.Lock()
        self._taken = 0

    async def work(self, function, *given):
        """A function's result, computed by a worker. HTTPException 503: too many wait; 504: it takes too long."""
        if self._taken >= QUEUE:
            raise HTTPException(503, f"{QUEUE} images are waiting already; try again in a moment", {"Retry-After": "2"})
        self._taken += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, function, *given)
        future.add_done_callback(self._release)  # also of one that nobody waits for any more
        try:
            return await asyncio.wait_for(asyncio.shield(future), WORK_SECONDS)
        except TimeoutError:
            raise HTTPException(504, f"the image took longer than {WORK_SECONDS:g} s; try a smaller one") from None

    def _release(self, future):
        self._taken -= 1
        with contextlib.suppress(Exception):
            future.exception()

    def predict(self, data: bytes, name: str):
        """(size, image as the network gets it, its maps) of an image file's bytes, as Predictor.decode and .maps have
        them. UserError: as predict.py says it.
        """
        image, size = self.predictor.decode(data, name)
        with self._network:
            maps = self.predictor.maps(image[None])
        return size, image, [each[0] for each in maps]

    def answer(self, data: bytes, name: str, with_map: bool) -> dict[str, Any]:
        """The JSON of an image."""
        size, image, maps = self.predict(data, name)
        probabilities = maps[-1]  # (h, w, classes)
        trusted = self.predictor.assess_maps(image, maps)
        answer: dict[str, Any] = {"name": name, "height": size[0], "width": size[1], **about(self.predictor)}
        answer["unusual"] = trusted.reasons
        if with_map:
            array = np.ascontiguousarray(probabilities, np.dtype("<f4"))
            answer |= {"map": base64.b64encode(array.tobytes()).decode(), "map_size": list(array.shape)}
        with self._large if size[0] * size[1] > LARGE else contextlib.nullcontext():
            masks, probabilities = self.predictor.enlarge(probabilities, size)
            answer["masks"] = [
                {
                    "class": label,
                    "measures": measures(masks[..., k], probabilities[..., k], trusted.jaccards[k]),
                    "segmentation": rle(masks[..., k]),
                }
                for k, label in enumerate(self.predictor.classes)
            ]
        return answer

    def mask(self, data: bytes, name: str, k: int) -> bytes:
        """PNG of one mask, 0 and 255, the bytes that predict.py writes."""
        size, _, maps = self.predict(data, name)
        mask = self.predictor.mask(maps[-1], k, size)
        return mask_files.png(mask * np.uint8(255))


def measures(mask, probabilities, jaccard) -> dict[str, Any]:
    """The columns of predictions.csv of one mask, (H, W); its expected Jaccard is None where that is not known."""
    found = mask_shape.describe(np.ascontiguousarray(mask), np.ascontiguousarray(probabilities))
    found |= {} if jaccard is None else {"predicted_jaccard": jaccard}
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()}


def rle(mask) -> dict[str, Any]:
    """COCO's compressed run lengths of a mask, bool (H, W)."""
    flat = np.asfortranarray(mask.astype(np.uint8)).ravel(order="F")  # column by column
    return {"size": list(mask.shape), "counts": run_lengths.coco_text(run_lengths.counts(flat))}


def picture(data: bytes, name: str) -> bytes:
    """An image file as PNG, upright."""
    try:
        image, _ = files.decode_upright(data)
    except (UserError, cv2.error) as problem:
        raise UserError(f"{name}: {' '.join(str(problem).split())}") from None
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


# === HTTP ===


async def body(request) -> bytes:
    """All bytes of a request. HTTPException 413: more than MAX_BYTES; 408: they come too slowly; 400: none."""
    pieces = bytearray()
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            async for piece in request.stream():
                pieces += piece
                if len(pieces) > MAX_BYTES:
                    raise HTTPException(413, f"the file has more than {MAX_BYTES // 1_000_000} MB")
    except TimeoutError:
        raise HTTPException(408, f"the file did not arrive within {UPLOAD_SECONDS:g} s; send it again") from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection was closed before the file had arrived") from None
    if not pieces:
        raise HTTPException(400, "no image: send the bytes of an image file as the request's body")
    return bytes(pieces)


def same_origin(request) -> None:
    """HTTPException 403: another website's page sends this, which may not use the network of this computer."""
    origin = request.headers.get("origin")
    if origin and origin.split("://")[-1] != request.headers.get("host"):
        raise HTTPException(403, "requests of other websites' pages are refused")


def application(predictor: Predictor, hosts: list[str] | None = None) -> Starlette:
    """The server as an ASGI application. hosts: names by which it may be asked, None for those of this computer."""
    service = Service(predictor)

    async def described(request):
        return JSONResponse(about(predictor))

    async def predict(request):
        same_origin(request)
        form = request.query_params.get("format", "json")
        name = request.query_params.get("name", "image")
        if form not in ("json", "png", "map"):
            raise HTTPException(400, f"format={form}: expected json, png or map")
        if form == "png":
            label = request.query_params.get("class", predictor.classes[0])
            if label not in predictor.classes:
                raise HTTPException(400, f"class={label}: expected one of {', '.join(predictor.classes)}")
            k = list(predictor.classes).index(label)
            return Response(await service.work(service.mask, await body(request), name, k), media_type="image/png")
        return JSONResponse(await service.work(service.answer, await body(request), name, form == "map"))

    async def show(request):
        same_origin(request)
        name = request.query_params.get("name", "image")
        return Response(await service.work(picture, await body(request), name), media_type="image/png")

    async def openapi(request):
        return Response((FILES.parent / "openapi.json").read_bytes(), media_type="application/json")

    routes = [
        Route("/about.json", described),
        Route("/predict", predict, methods=["POST"]),
        Route("/picture", show, methods=["POST"]),
        Route("/openapi.json", openapi),
        Mount("/", StaticFiles(directory=FILES, html=True)),
    ]
    handlers = {HTTPException: _http_error, UserError: _user_error}
    middleware = [Middleware(_Headers), Middleware(TrustedHostMiddleware, allowed_hosts=hosts or LOCAL)]
    return Starlette(routes=routes, exception_handlers=handlers, middleware=middleware)


async def _http_error(request, problem):
    return JSONResponse({"error": problem.detail}, problem.status_code, problem.headers)


async def _user_error(request, problem):
    return JSONResponse({"error": str(problem)}, 422)


class _Headers:
    """Adds HEADERS to every answer."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def with_headers(message):
            if message["type"] == "http.response.start":
                added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message = message | {"headers": [*message.get("headers", []), *added]}
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)
