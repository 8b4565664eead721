"""Marks: which state wrote to an index last, so that a copy that is behind is noticed before it writes."""

from dataclasses import replace
from typing import Any

import pytest

from pinery.corpus.open_run import open_run
from pinery.corpus.target import Target
from pinery.errors import RefusedError, TerminalError
from pinery.steps.find_index import find_index
from pinery.steps.marks import check_mark, claim_index, refuse_behind, why_behind
from tests.filled import holding, opened


def remember(target: Target, *marks: str) -> None:
    recorded = target.recorded()
    assert recorded is not None
    target.record(replace(recorded, marks=marks))


@pytest.mark.parametrize(
    ("marks", "found", "behind"),
    [
        ((), None, False),
        (("3-a", "2-b"), "3-a", False),
        (("3-a", "2-b"), "2-b", False),
        (("3-a", "2-b"), "4-c", True),
        (("3-a",), None, False),
        ((), "4-c", True),
    ],
    ids=str,
)
def test_an_index_is_ahead_if_its_mark_is_none_of_those_that_the_state_left(
    filled: dict[str, Any], marks: tuple[str, ...], found: str | None, behind: bool
) -> None:
    target = opened(filled).target
    remember(target, *marks)
    why = why_behind(target, found)
    assert bool(why) == behind
    if behind:
        newest = "lease epoch 3" if marks else "none"
        assert f"under lease epoch 4; the last that {target.store.root} knows of is {newest}" in why


def test_a_run_leaves_its_mark_once_and_the_state_knows_it_first(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        before = held.index.read_mark()
        claim_index(held)
        assert held.mark == held.index.read_mark() != before
        assert held.mark.startswith(f"{held.lease.epoch}-")
        recorded = held.target.recorded()
        assert recorded is not None
        assert recorded.marks == (held.mark, before)
        claim_index(held)
        assert held.target.recorded() == recorded
        check_mark(held)


def test_marks_that_the_index_can_no_longer_have_are_forgotten(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        held.index.leave_mark("5-b")
        remember(held.target, "6-a", "5-b", "4-c", "3-d")
        claim_index(held)
        recorded = held.target.recorded()
        assert recorded is not None
        assert recorded.marks == (held.mark, "6-a", "5-b")


def test_a_copy_that_wrote_since_the_run_looked_is_noticed_before_its_first_write(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        held.index.leave_mark("99-deadbeef")
        with pytest.raises(RefusedError, match=r"under lease epoch 99.* Nothing was written"):
            claim_index(held)
        assert (held.mark, held.index.read_mark()) == ("", "99-deadbeef")
        with pytest.raises(RefusedError, match="--full --repair"):
            refuse_behind(held)


def test_a_copy_that_writes_beside_the_run_is_noticed_at_its_end(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        check_mark(held)  # nothing was written, so any mark may be there
        claim_index(held)
        held.index.leave_mark("5-12345678")
        with pytest.raises(TerminalError, match="beside this run, under lease epoch 5"):
            check_mark(held)


def test_who_may_take_the_index_over_leaves_a_mark_that_the_other_state_lacks(filled: dict[str, Any]) -> None:
    opened(filled).target.index.leave_mark("99-deadbeef")
    with open_run(opened(filled)) as run:
        find_index(run.main, behind=True)
        claim_index(run.main)
        assert (run.main.behind, run.main.index.read_mark()) == ("", run.main.mark)
        recorded = run.main.target.recorded()
        assert recorded is not None
        assert recorded.marks == (run.main.mark, "99-deadbeef")
