"""Rejected rows stay as long as they are listed; their files are dropped or merged."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pinery.records import REJECTED_SCHEMA
from pinery.steps.compact_rejected import MANY, compact_rejected, find_rejected
from tests.filled import bring, holding, listed_items, opened


def reject(settings: dict[str, Any], *files: list[tuple[str, str]]) -> None:
    """Record these (id, version) as rejected, a file each."""
    with holding(settings) as held:
        for some in files:
            rows = [{"id": id, "version": version, "metadata_hash": "h", "reason": "no"} for id, version in some]
            held.ledger.reject(pa.Table.from_pylist(rows, schema=REJECTED_SCHEMA), held.scratch)


def rejected(settings: dict[str, Any]) -> list[tuple[str, str]]:
    import pyarrow.parquet as pq

    ledger = opened(settings).target.recorded_ledger()
    assert ledger is not None
    found = [row for path in ledger.rejected_files() for row in pq.read_table(path).to_pylist()]
    return sorted((row["id"], row["version"]) for row in found)


@pytest.fixture
def listed(filled: dict[str, Any]) -> list[tuple[str, str]]:
    """What the corpus lists."""
    with holding(filled) as held:
        return [(one.id, one.version) for one in listed_items(held)]


def test_files_of_what_is_listed_no_more_are_dropped_and_rows_that_are_stay(
    filled: dict[str, Any], listed: list[tuple[str, str]], tmp_path: Path
) -> None:
    gone = [(f"gone-{n}", "1") for n in range(5)]
    reject(filled, gone[:2], [*gone, listed[0]], listed[1:3])
    told = find_rejected(opened(filled), opened(filled).target, tmp_path)
    assert [one.why for one in told] == [
        "none of its 2 rows is listed any more",
        "1 of its 6 rows are still listed, and move to a new file",
    ]
    assert all(one.bytes > 0 for one in told)
    with holding(filled) as held:
        assert compact_rejected(held) == [one.name for one in told]
        assert compact_rejected(held) == []
    assert rejected(filled) == sorted(listed[:3])
    assert bring(filled).unchanged == 12


def test_many_files_become_one(filled: dict[str, Any], listed: list[tuple[str, str]]) -> None:
    reject(filled, *[[listed[n % 12]] for n in range(MANY)])
    with holding(filled) as held:
        assert len(compact_rejected(held)) == MANY
        assert len(held.ledger.rejected_names()) == 1
    assert rejected(filled) == sorted(listed)


def test_an_index_without_any_has_nothing_to_drop(filled: dict[str, Any], tmp_path: Path) -> None:
    assert find_rejected(opened(filled), opened(filled).target, tmp_path) == ()
    with holding(filled) as held:
        assert compact_rejected(held) == []
