"""Rows that are no longer live leave the index, within the guard, and the ledger enters each request."""

from pathlib import Path
from typing import Any

import pytest

from pinery.corpus.run import HeldTarget
from pinery.errors import RefusedError
from pinery.steps.delete_rows import delete_rows
from pinery.steps.make_plan import Plan, PlanOptions, make_plan
from tests.filled import current_listing, holding, listed_items, listing_of, rows_of

ALLOWED = PlanOptions(allow_deletes=True)


def shorter(held: HeldTarget, gone: int) -> tuple[Path, Plan]:
    """A listing without the first items, and its plan."""
    listing = listing_of(held, listed_items(held)[gone:])
    return listing, make_plan(held, listing, ALLOWED)


def test_what_left_the_listing_leaves_the_index_and_the_ledger(
    filled: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with holding(filled) as held:
        monkeypatch.setattr(held.index, "max_request_rows", 2)
        gone = {item.id for item in listed_items(held)[:5]}
        listing, plan = shorter(held, 5)
        assert delete_rows(held, listing, plan, 0, ALLOWED) == 5
        assert held.mark, "the run left its mark before its first write"
        assert delete_rows(held, listing, plan, 0, ALLOWED) == 0, "the ledger knows that they are gone"
        assert rows_of(filled).keys() == {item.id for item in listed_items(held)} - gone


def test_more_than_the_guard_lets_pass_is_refused_before_anything_is_deleted(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        listing, plan = shorter(held, 5)
        with pytest.raises(RefusedError, match=r"5 of the 12 rows .* delete_guard of 20%.* Nothing was deleted"):
            delete_rows(held, listing, plan, 0, PlanOptions())
    assert len(rows_of(filled)) == 12


def test_with_a_limit_nothing_is_deleted(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        listing, plan = shorter(held, 1)
        assert delete_rows(held, listing, plan, 0, PlanOptions(limit=3)) == 0
    assert len(rows_of(filled)) == 12


def test_an_index_that_can_hold_nothing_else_is_not_looked_into(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        plan = make_plan(held, current_listing(held), PlanOptions())
        (held.scratch / "gone.parquet").touch()
        assert delete_rows(held, held.scratch / "gone.parquet", plan, 0, PlanOptions()) == 0
        assert not held.mark
