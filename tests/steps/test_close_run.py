"""The end of a run: old files go, the newest stay, and a ledger of many entries becomes one of few."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pinery.planning.plan import count_plan
from pinery.steps.close_run import close_run, compact_ledger
from pinery.steps.report import Brought, Done, reported
from tests.filled import current_listing, holding, opened


def test_a_ledger_of_many_entries_becomes_a_snapshot_that_says_the_same(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        listing = current_listing(held)
        for _ in range(3):
            held.ledger.intend(pa.array(["red-0.jpg", "red-1.jpg"]), held.scratch)
        with held.planned(listing) as con:
            before = count_plan(con)
        assert held.ledger.wants_snapshot()
        compact_ledger(held)
        [file] = held.ledger.files()
        assert file.name.startswith("snapshot-")
        with held.planned(listing) as con:
            assert count_plan(con) == before
        assert before.doubtful == 2
        compact_ledger(held)
        assert held.ledger.files() == [file], "nothing is left to compact"


def closed(settings: dict[str, Any], may_replace: bool, limit: int | None = None) -> dict[str, Any]:
    """Return the report of `close_run` for a run that had nothing to do."""
    with holding(settings) as held, reported(held.run) as reporter:
        with held.planned(current_listing(held)) as con:
            counts = count_plan(con)
        if limit is not None:
            reporter.report = replace(reporter.report, limited=limit)
        brought = [Brought(held, Done([], []), 0, counts)]
        return close_run(held.run, reporter, brought, may_replace).to_dict()


def test_an_index_goes_live_where_it_may_take_the_place_of_another(filled: dict[str, Any]) -> None:
    old = opened(filled).target.entry
    fresh = filled | {"index": {"kind": "lance", "name": "fresh"}}
    assert closed(fresh, may_replace=False)["retired"] == []
    assert opened(fresh).alias()[0].live == old
    report = closed(fresh, may_replace=True)
    assert (report["state"], report["verified"], report["retired"][0]["index"]) == ("done", True, old.name)
    assert opened(fresh).alias()[0].live == opened(fresh).target.entry


def test_a_limited_run_makes_nothing_live(filled: dict[str, Any]) -> None:
    old = opened(filled).target.entry
    fresh = filled | {"index": {"kind": "lance", "name": "fresh"}}
    closed(fresh, may_replace=True, limit=3)
    assert opened(fresh).alias()[0].live == old


def test_where_none_is_live_a_complete_index_goes_live_though_it_may_replace_none(filled: dict[str, Any]) -> None:
    Path(filled["state"], "test", "alias.json").unlink()
    closed(filled, may_replace=False)
    assert opened(filled).alias()[0].live == opened(filled).target.entry
