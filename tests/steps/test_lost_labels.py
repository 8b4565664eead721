"""The relabel guard: labels that the index was sent are not taken off many rows unnoticed."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pinery.planning import guards
from pinery.steps.lost_labels import judge_labels
from tests.filled import holding, listed_items, listing_of


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "RELABELS_ALWAYS_ALLOWED", 2)


def judged(settings: dict[str, Any], metadata: str, rows: int) -> list[str]:
    """Return the guard's reasons against a listing whose first rows have other metadata."""
    with holding(settings) as held:
        items = listed_items(held)
        items[:rows] = [replace(item, metadata=metadata) for item in items[:rows]]
        with held.planned(listing_of(held, items)) as con:
            return judge_labels(con, 12, held.run.corpus)


def test_many_rows_that_would_lose_a_name_are_told_with_it(filled: dict[str, Any]) -> None:
    [reason] = judged(filled, "{}", 8)
    assert "8 of the 12 rows that the index holds would lose metadata (label)" in reason
    assert "`allow_changes`" in reason


@pytest.mark.parametrize(
    ("metadata", "rows"), [("{}", 2), (json.dumps({"label": "new"}), 12), (json.dumps({"label": "x", "more": 1}), 12)]
)
def test_a_few_rows_and_other_values_of_the_same_names_pass(filled: dict[str, Any], metadata: str, rows: int) -> None:
    assert judged(filled, metadata, rows) == []


def test_the_names_are_those_of_the_listing_that_the_rows_were_sent_from(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        bare = listing_of(held, [replace(item, metadata="{}") for item in listed_items(held)])
        held.target.store.publish(held.run.corpus.paths.listing(held.run.name), bare)
    with holding(filled) as held:  # the newest listing says that no row ever had a name; the index has them all
        items = listed_items(held)
        assert {item.metadata for item in items} == {"{}"}
        with held.planned(listing_of(held, items)) as con:
            assert len(judge_labels(con, 12, held.run.corpus)) == 1
