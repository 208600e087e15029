"""Ordered work of threads."""

import threading
import time

import cv2
import pytest

from utils.threads import count, in_order


def test_only_so_many_are_under_way():
    drawn = []
    items = (drawn.append(i) or i for i in range(100))
    results = in_order(lambda i: i * i, items, ahead=5)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(drawn) == 8
    assert list(results)[-1] == 99 * 99


def test_slow_items_keep_their_order_and_run_side_by_side():
    threads = set()

    def work(i):
        threads.add(threading.get_ident())
        time.sleep(0.02 if i % 2 else 0)
        return i

    assert list(in_order(work, range(20))) == list(range(20))
    assert 2 <= len(threads) <= count()


def test_the_first_error_is_raised_and_the_rest_is_not_begun():
    begun = []

    def work(i):
        begun.append(i)
        time.sleep(0.005)
        if i == 3:
            raise RuntimeError("three")
        return i

    results = in_order(work, range(1000), ahead=4)
    with pytest.raises(RuntimeError, match="three"):
        list(results)
    there = len(begun)
    time.sleep(0.05)
    assert len(begun) == there < 20


def test_opencv_has_one_thread_while_ours_work():
    before = cv2.getNumThreads()
    assert list(in_order(lambda _: cv2.getNumThreads(), range(4))) == [1] * 4
    assert cv2.getNumThreads() == before
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda i: 1 / i, [0]))
    assert cv2.getNumThreads() == before
