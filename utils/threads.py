"""Work of threads in the order of its items, while the caller goes on: decoding and writing beside the network."""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2

MAX_THREADS = 16  # a thread may hold one image and its masks at full size, some 50 MB

Item = TypeVar("Item")
Result = TypeVar("Result")


def count() -> int:
    """Threads of a pool: one a core, from 2 to MAX_THREADS."""
    return min(max(os.cpu_count() or 1, 2), MAX_THREADS)


def pool() -> ThreadPoolExecutor:
    """A pool of `count()` threads."""
    return ThreadPoolExecutor(count())


def in_order(work: Callable[[Item], Result], items: Iterable[Item], ahead: int | None = None) -> Iterator[Result]:
    """The results of work(item), in the order of the items, computed by threads.

    ahead: how many items may be under way before the first result is taken; by default two a thread.
    The first error of `work` is raised here; what has not begun by then never does.
    """
    waiting: deque[Future] = deque()
    ahead = ahead or 2 * count()
    with _single_threaded_opencv(), pool() as threads:
        try:
            for item in items:
                waiting.append(threads.submit(work, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _single_threaded_opencv():
    """Each of our threads has a picture of its own: OpenCV's threads inside would only get in the way."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
