"""The plan of one target: judged as a whole, cut into parts, and written down for who does the work."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pinery.errors import ConfigError, RefusedError, TransientError
from pinery.parquet.files import read_rows
from pinery.records import metadata_hash
from pinery.steps.make_plan import PlanOptions, checkpointed_only, make_plan, still_to_upsert
from tests import corpora
from tests.corpora import config
from tests.filled import current_listing, holding, listed_items, listing_of


def test_an_index_that_is_as_it_should_be_has_nothing_to_do(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        plan = make_plan(held, current_listing(held), PlanOptions())
        assert (plan.embed, plan.upsert, plan.rows, plan.counts.unchanged) == ((), (), 0, 12)
        assert plan.sound is not None, "a row to try, should the index refuse others"
        assert plan.sound.rows == 1


def test_what_is_new_is_cut_into_parts_that_come_after_those_there_are(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        items = listed_items(held)
        fresh = [replace(item, id=f"new-{item.id}") for item in items[:7]]
        plan = make_plan(held, listing_of(held, [*items, *fresh]), PlanOptions())
        assert [(work.part, work.rows) for work in plan.embed] == [("part-00000003", 5), ("part-00000004", 2)]
        rows = read_rows(plan.embed[0].path, plan.embed[0].start, plan.embed[0].stop)
        assert rows["id"].to_pylist() == [item.id for item in fresh[:5]]
        assert rows["metadata_hash"].to_pylist() == [metadata_hash(item.metadata) for item in fresh[:5]]
        assert pq.read_table(plan.embed[0].metadata)["metadata"].to_pylist() == [item.metadata for item in fresh]
        assert checkpointed_only(plan).embed == ()
        assert checkpointed_only(plan).counts == plan.counts


def test_other_metadata_is_sent_again_from_the_part_that_has_the_vector(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        items = listed_items(held)
        for at in (0, 11):
            items[at] = replace(items[at], metadata=json.dumps({"label": "another"}))
        plan = make_plan(held, listing_of(held, items), PlanOptions())
        assert (plan.embed, plan.counts.relabelled) == ((), 2)
        assert [(work.part, work.rows) for work in plan.upsert] == [("part-00000000", 1), ("part-00000002", 1)]


def test_a_limit_restricts_the_work_and_not_what_is_judged(
    images: Path, tmp_path: Path, filled: dict[str, Any]
) -> None:
    with holding(filled | {"namespace": "fresh"}) as held:
        listing = current_listing(held)
        assert make_plan(held, listing, PlanOptions(limit=3)).rows == 3
        with pytest.raises(ConfigError, match="`limit` 13 is above the 12 items"):
            make_plan(held, listing, PlanOptions(limit=13))
    with holding(filled) as held:
        shorter = listing_of(held, listed_items(held)[:6])
        with pytest.raises(RefusedError, match=r"corpus test: 6 of the 12 rows .* delete_guard.* Nothing was changed"):
            make_plan(held, shorter, PlanOptions(limit=3))
        assert make_plan(held, shorter, PlanOptions(allow_deletes=True)).counts.to_delete == 6


def test_two_items_with_one_id_are_told(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        items = listed_items(held)
        double = [*items, replace(items[0], uri="file:///elsewhere/red.jpg")]
        with pytest.raises(ConfigError, match=f"two items have the id '{items[0].id}': .*elsewhere.*; rename one"):
            make_plan(held, listing_of(held, double), PlanOptions())


def test_an_item_that_the_source_listed_twice_is_the_sources_fault(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        items = listed_items(held)
        with pytest.raises(TransientError, match=f"listed {items[0].uri} more than once"):
            make_plan(held, listing_of(held, [*items, replace(items[0], version="2")]), PlanOptions())


def test_what_is_left_to_upsert_is_asked_of_checkpoint_and_ledger_anew(filled: dict[str, Any]) -> None:
    with holding(filled | {"namespace": "fresh"}) as held:
        plan = make_plan(held, current_listing(held), PlanOptions())
        assert [work.rows for work in plan.upsert] == [5, 5, 2]
        with held.planned(current_listing(held)) as con:
            query = "SELECT id, version, metadata_hash, false AS deleted FROM items LIMIT 9"
            held.ledger.enter(con.sql(query).to_arrow_table(), held.scratch)
        left = still_to_upsert(held, plan, current_listing(held), None)
        assert sum(work.rows for work in left.upsert) == 3
        assert left.sound is not None


def test_before_the_first_part_the_work_begins_with_number_nought(images: Path, tmp_path: Path) -> None:
    with holding(config(images, tmp_path / "state")) as held:
        plan = make_plan(held, listing_of(held, corpora.listed_items(held.run.corpus.source)), PlanOptions())
        assert [work.part for work in plan.embed] == ["part-00000000", "part-00000001", "part-00000002"]
        assert (plan.sound, plan.counts.new) == (None, 12)
