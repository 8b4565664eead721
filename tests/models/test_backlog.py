"""Threads that fetch ahead never hold more than their room, and the one whose turn it is never waits."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from pinery.models.backlog import Backlog


@settings(deadline=None)
@given(st.integers(0, 50), st.integers(1, 8), st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_all_positions_come_through_whatever_they_hold(room: int, threads: int, sizes: list[int]) -> None:
    backlog, lock, held, most = Backlog(room), threading.Lock(), [0], [0]

    def fetch(position: int) -> int:
        backlog.wait(position)
        with lock:
            held[0] += sizes[position]
            most[0] = max(most[0], held[0])
        backlog.fetched(sizes[position])
        return sizes[position]

    with ThreadPoolExecutor(threads) as pool:
        fetching = [pool.submit(fetch, position) for position in range(len(sizes))]
        for future in fetching:
            size = future.result(20)
            with lock:
                held[0] -= size
            backlog.taken(size)
    assert most[0] <= room + (threads + 1) * max(sizes)


def test_closing_ends_those_who_wait() -> None:
    backlog = Backlog(10)
    backlog.fetched(10)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(backlog.wait, 5)
        assert not waiting.done()
        backlog.close()
        with pytest.raises(CancelledError):
            waiting.result(20)
