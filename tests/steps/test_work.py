"""Work files: rows by position, metadata beside them, read a piece at a time; memory is bounded by bytes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from pinery.checkpoint.listings import write_listing
from pinery.checkpoint.parts import Checkpoint
from pinery.checkpoint.store import LocalStore
from pinery.corpus import tables
from pinery.corpus.tables import connect
from pinery.planning.plan import define_plan, fold_ledger
from pinery.records import PART_SCHEMA, Item
from pinery.steps import live_rows as rooms
from pinery.steps.live_rows import live_rows
from pinery.steps.make_plan import _embed_work, upsert_work
from tests.corpora import item_batches

NOISE = random.Random(0).randbytes(1 << 20).hex()


def items(count: int, size: int) -> list[Item]:
    """Items whose metadata has about `size` bytes that don't compress."""
    texts = (NOISE[(n * 7919) % (len(NOISE) - size) :][:size] for n in range(count))
    return [Item(f"i{n}", f"file:///i{n}", "v1", 1, json.dumps({"n": n, "t": t})) for n, t in enumerate(texts)]


def planned(con: duckdb.DuckDBPyConnection, listing: Path) -> None:
    """A plan in which nothing is embedded yet."""
    rows = con.read_parquet(str(listing), file_row_number=True).select("*, file_row_number AS position")
    rows.create_view("listing")
    con.execute("CREATE TABLE checkpoint (part VARCHAR, id VARCHAR, version VARCHAR, error VARCHAR)")
    con.execute("CREATE TABLE rejected (id VARCHAR, version VARCHAR, metadata_hash VARCHAR)")
    fold_ledger(con, [])
    define_plan(con, limit=None, retry_quarantined=False)


@pytest.mark.parametrize("piece", [1, 30_000, 1 << 30])
def test_live_rows_have_their_metadata_whatever_the_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(rooms, "PIECE_BYTES", piece)
    listed = items(100, 1000)
    write_listing(item_batches(listed), tmp_path / "listing.parquet", lambda _: None)
    checkpoint = Checkpoint(LocalStore(tmp_path / "state"), "parts")
    shuffled = random.Random(1).sample(range(100), 100)
    with checkpoint.writer(tmp_path / "part", 2) as writer:
        values = [[float(n), 1.0] if n % 10 else None for n in shuffled]
        ids, versions = [f"i{n}" for n in shuffled], ["v1"] * 100
        errors = [None if n % 10 else "bad" for n in shuffled]
        columns = [pa.array(ids), pa.array(versions), pa.array(ids), pa.array(values, PART_SCHEMA.field("values").type)]
        writer.append(pa.record_batch([*columns, pa.array(errors, pa.string())], schema=PART_SCHEMA))
    checkpoint.publish("part-00000000", tmp_path / "part")
    with connect(tmp_path) as con:
        planned(con, tmp_path / "listing.parquet")
        con.execute("CREATE TABLE wanted AS SELECT 'part-00000000' AS part, position, metadata_hash FROM state")
        [work] = upsert_work(con, tmp_path / "upsert.parquet", "wanted")
    found = [row for batch in live_rows(checkpoint, work) for row in batch.to_pylist()]
    assert len(found) == 90
    texts = {one.id: one.metadata for one in listed}
    for row in found:
        number = int(row["id"][1:])
        assert row["metadata"] == texts[row["id"]]
        np.testing.assert_array_equal(row["values"], [number, 1.0])


def test_a_plan_of_large_metadata_keeps_within_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MEMORY", "192MB")
    write_listing(item_batches(items(5000, 30_000)), tmp_path / "listing.parquet", lambda _: None)
    with connect(tmp_path) as con:
        planned(con, tmp_path / "listing.parquet")
        work = _embed_work(con, tmp_path, 4096, 0)
    assert [one.rows for one in work] == [4096, 904]
