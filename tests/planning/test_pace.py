"""The pace of requests: it halves once for all that were in flight, and comes back with success."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinery.planning.pace import Pace

MOST = st.integers(1, 64)


def test_requests_in_flight_together_halve_it_once() -> None:
    pace = Pace(16)
    sent = [pace.epoch] * 16
    assert [pace.slow(epoch) for epoch in sent] == [True] + [False] * 15
    assert pace.limit == 8
    assert pace.slow(pace.epoch)
    assert pace.limit == 4


def test_as_many_successes_as_the_limit_raise_it_by_one() -> None:
    pace = Pace(16)
    pace.slow(pace.epoch)
    pace.slow(pace.epoch)
    limits = []
    for _ in range(4 + 5):
        pace.succeed()
        limits.append(pace.limit)
    assert limits == [4, 4, 4, 5, 5, 5, 5, 5, 6]


def test_a_throttled_request_ends_the_row_of_successes() -> None:
    pace = Pace(4)
    pace.slow(pace.epoch)
    pace.succeed()
    pace.slow(pace.epoch)
    assert pace.limit == 1
    pace.succeed()
    assert pace.limit == 2


@given(MOST, st.lists(st.booleans()))
def test_the_limit_stays_between_one_and_the_most(most: int, history: list[bool]) -> None:
    pace = Pace(most)
    for good in history:
        if good:
            pace.succeed()
        else:
            pace.slow(pace.epoch)
        assert 1 <= pace.limit <= most


@given(MOST, st.lists(st.booleans()))
def test_enough_successes_bring_it_back_to_the_most(most: int, history: list[bool]) -> None:
    pace = Pace(most)
    for good in history:
        pace.succeed() if good else pace.slow(pace.epoch)
    for _ in range(sum(range(1, most + 1))):
        pace.succeed()
    assert pace.limit == most


def test_no_request_at_all_is_no_pace() -> None:
    with pytest.raises(ValueError, match="at least one request must be allowed, got 0"):
        Pace(0)
