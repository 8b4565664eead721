"""The metadata of planned rows: beside them in their order, written within a bounded memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinery.checkpoint.listings import write_listing
from pinery.corpus import tables
from pinery.corpus.tables import connect
from pinery.steps.make_plan import _embed_work
from tests.corpora import item_batches
from tests.steps.work import items, planned


def test_a_plan_of_large_metadata_keeps_within_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MEMORY", "192MB")
    write_listing(item_batches(items(5000, 30_000)), tmp_path / "listing.parquet", lambda _: None)
    with connect(tmp_path) as con:
        planned(con, tmp_path / "listing.parquet")
        work = _embed_work(con, tmp_path, 4096, 0)
    assert [one.rows for one in work] == [4096, 904]
