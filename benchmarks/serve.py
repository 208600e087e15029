"""The server of the page under load: 200 requests of 8 clients, beside the predictor alone.

    python benchmarks/serve.py [--run NAME]       # 2 minutes; prints throughput, memory and whether masks are equal

Measured are images a second of the predictor alone (read, network, mask as PNG; one after the other) and of the server
(`POST /predict?format=png`, over HTTP, in a process of its own); the server's memory after 40 requests and at the end;
and whether each mask is, to the byte, the one that predict.py writes.
"""

import argparse
import asyncio
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import httpx
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import predict
from datasets import phantoms
from page import service

REQUESTS = 200
CLIENTS = 8
SIDES = (768, 1024)  # pixels of the photographs


def photographs(folder: Path, count: int) -> list[Path]:
    """JPEG files of phantoms."""
    paths = []
    for i in range(count):
        image = phantoms.phantom(i, *SIDES).image
        path = folder / f"photo_{i}.jpg"
        cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        paths.append(path)
    return paths


async def load(address: str, paths: list[Path], process: psutil.Process):
    """(seconds, {path: mask}, memory after 40 requests and at the end, in MB)."""
    waiting = list(enumerate([paths[i % len(paths)] for i in range(REQUESTS)]))
    masks = {}
    memory = []
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=address, timeout=120, limits=limits) as client:

        async def one_client():
            while waiting:
                number, path = waiting.pop(0)
                answer = await client.post("/predict?format=png", content=path.read_bytes())
                answer.raise_for_status()
                masks[path] = answer.content
                if number == 40:
                    memory.append(process.memory_info().rss / 1e6)

        start = time.perf_counter()
        await asyncio.gather(*(one_client() for _ in range(CLIENTS)))
        seconds = time.perf_counter() - start
    memory.append(process.memory_info().rss / 1e6)
    return seconds, masks, memory


def main() -> None:
    parser = argparse.ArgumentParser(description="The server of the page under load.")
    parser.add_argument("--run")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        paths = photographs(Path(name), 20)
        predictor = predict.load_predictor(given.run)
        alone = service.Service(predictor)
        alone.mask(paths[0].read_bytes(), "warm-up", 0)
        start = time.perf_counter()
        for i in range(REQUESTS):
            alone.mask(paths[i % len(paths)].read_bytes(), "image", 0)
        own = REQUESTS / (time.perf_counter() - start)
        print(f"predictor alone: {own:.1f} images a second")

        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, "serve.py", "--port", str(port), *(["--run", given.run] if given.run else [])]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            process.stdout.readline()  # it says that it listens
            wait_for(port)
            seconds, masks, memory = asyncio.run(load(f"http://127.0.0.1:{port}", paths, psutil.Process(process.pid)))
        finally:
            process.terminate()
            process.wait()
        print(
            f"server, {CLIENTS} clients: {REQUESTS / seconds:.1f} images a second, {REQUESTS / seconds / own:.2f} of it"
        )
        print(f"memory: {memory[0]:.0f} MB after 40 requests, {memory[-1]:.0f} MB at the end")
        predict.predict(predictor, paths, Path(name, "out"))
        written = [next(Path(name, "out").glob(f"{path.stem}_*.png")).read_bytes() for path in paths]
        same = sum(masks[path] == mask for path, mask in zip(paths, written, strict=True))
        print(f"masks equal to predict.py's to the byte: {same} of {len(paths)}")


def wait_for(port: int) -> None:
    """Until the server answers."""
    for _ in range(200):
        try:
            httpx.get(f"http://127.0.0.1:{port}/about.json")
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise SystemExit("the server does not answer")


if __name__ == "__main__":
    main()
