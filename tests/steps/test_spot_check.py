"""The check at a run's end: what the index holds is what it should, or the run has failed."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pinery.errors import NothingLiveError, TerminalError
from pinery.steps import spot_check as module
from pinery.steps.make_plan import PlanOptions, make_plan
from pinery.steps.marks import claim_index
from pinery.steps.spot_check import spot_check
from tests import corpora
from tests.corpora import config
from tests.filled import current_listing, holding, listed_items, listing_of, rows_of
from tests.indexes.rows import batch


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (0.01,))


def test_an_index_that_is_as_it_should_be_passes(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        counts = spot_check(held, current_listing(held), None)
        assert (counts.held, counts.unchanged, counts.to_upsert, counts.to_delete) == (12, 12, 0, 0)
        assert held.not_indexed is not None


def test_a_plan_with_nothing_to_do_is_not_made_twice(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        listing = current_listing(held)
        plan = make_plan(held, listing, PlanOptions())
        assert plan.unchanged is not None
        gone = listing.with_name("gone.parquet")  # whoever reads it fails
        counts = spot_check(held, gone, None, plan)
        assert (counts.held, counts.unchanged, counts.to_upsert, counts.to_delete) == (12, 12, 0, 0)
        held.index.delete(["red-0.jpg"])
        with pytest.raises(TerminalError, match=r"it holds 11 rows, the ledger 12; red-0\.jpg is missing"):
            spot_check(held, gone, None, plan)


def test_whatever_is_recorded_after_a_plan_has_another_one_made(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        plan = make_plan(held, current_listing(held), PlanOptions())
        held.ledger.intend(pa.array(["red-1.jpg"]), held.scratch)
        with pytest.raises(TerminalError, match="1 rows are still to upsert and 0 to delete"):
            spot_check(held, current_listing(held), None, plan)
        assert make_plan(held, current_listing(held), PlanOptions()).unchanged is None


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("missing", r"it holds 11 rows, the ledger 12; red-0\.jpg is missing"),
        ("extra", "it holds 13 rows, the ledger 12"),
        ("vector", r"red-0\.jpg has another vector"),
        ("metadata", r"red-0\.jpg has other metadata"),
    ],
)
def test_whatever_another_program_did_to_the_index_fails_the_run(filled: dict[str, Any], kind: str, told: str) -> None:
    row = rows_of(filled)["red-0.jpg"]
    changed = {
        "extra": batch(["stray"], [row.values]),
        "vector": batch(["red-0.jpg"], [[1.0] * len(row.values)], [dict(row.metadata)]),
        "metadata": batch(["red-0.jpg"], [row.values], [{"label": "blue"}]),
    }
    with holding(filled) as held:
        held.index.upsert(changed[kind]) if kind in changed else held.index.delete(["red-0.jpg"])
        with pytest.raises(TerminalError, match=rf"does not hold what it should: {told}.*--full --repair"):
            spot_check(held, current_listing(held), None)


def test_work_that_is_left_is_told(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        held.ledger.intend(pa.array(["red-1.jpg"]), held.scratch)
        with pytest.raises(TerminalError, match="1 rows are still to upsert and 0 to delete"):
            spot_check(held, current_listing(held), None)
        shorter = listing_of(held, listed_items(held)[:-2])
        with pytest.raises(TerminalError, match="to upsert and 2 to delete"):
            spot_check(held, shorter, None)


def test_another_copy_of_the_state_that_wrote_meanwhile_fails_the_run(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        claim_index(held)
        held.index.leave_mark("99-deadbeef")
        with pytest.raises(TerminalError, match="another copy of this state wrote"):
            spot_check(held, current_listing(held), None)


def test_an_index_with_nothing_of_the_corpus_is_no_success(images: Path, tmp_path: Path) -> None:
    with holding(config(images, tmp_path / "state")) as held:
        listing = listing_of(held, corpora.listed_items(held.run.corpus.source))
        with pytest.raises(NothingLiveError, match=r"none of the 12 listed images .* 12 not embedded"):
            spot_check(held, listing, None)
