"""Work of threads in the order of its items, while the caller goes on: decoding and writing beside the network."""

from collections import deque


def in_order(pool, work, items, ahead):
    """The results of work(item), in order, computed by a pool of threads, at most `ahead` items under way.

    The first error of `work` is raised here; what has not begun by then never does.
    """
    waiting = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for job in waiting:
            job.cancel()
