"""The rows of a part that belong in an index: vectors of the checkpoint, metadata of the listing."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pinery.checkpoint.listings import write_listing
from pinery.checkpoint.parts import Checkpoint
from pinery.checkpoint.store import LocalStore
from pinery.corpus.tables import connect
from pinery.parquet.files import part_writer
from pinery.records import PART_SCHEMA
from pinery.steps import live_rows as rooms
from pinery.steps.live_rows import gathered, live_rows, with_vectors
from pinery.steps.planned_rows import upsert_work
from tests.corpora import item_batches
from tests.steps.work import items, planned


@pytest.mark.parametrize("piece", [1, 30_000, 1 << 30])
def test_live_rows_have_their_metadata_whatever_the_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(rooms, "PIECE_BYTES", piece)
    listed = items(100, 1000)
    write_listing(item_batches(listed), tmp_path / "listing.parquet", lambda _: None)
    checkpoint = Checkpoint(LocalStore(tmp_path / "state"), "parts")
    shuffled = random.Random(1).sample(range(100), 100)
    with part_writer(tmp_path / "part", 2) as writer:
        values = [[float(n), 1.0] if n % 10 else None for n in shuffled]
        ids, versions = [f"i{n}" for n in shuffled], ["v1"] * 100
        errors = [None if n % 10 else "bad" for n in shuffled]
        columns = [pa.array(ids), pa.array(versions), pa.array(ids), pa.array(values, PART_SCHEMA.field("values").type)]
        writer.append(pa.record_batch([*columns, pa.array(errors, pa.string())], schema=PART_SCHEMA))
    checkpoint.publish("part-00000000", tmp_path / "part")
    with connect(tmp_path) as con:
        planned(con, tmp_path / "listing.parquet")
        con.execute("CREATE TABLE wanted AS SELECT 'part-00000000' AS part, position, metadata_hash FROM items")
        [work] = upsert_work(con, tmp_path / "upsert.parquet", "wanted")
    found = [row for batch in live_rows(checkpoint, work) for row in batch.to_pylist()]
    assert len(found) == 90
    texts = {one.id: one.metadata for one in listed}
    for row in found:
        number = int(row["id"][1:])
        assert row["metadata"] == texts[row["id"]]
        np.testing.assert_array_equal(row["values"], [number, 1.0])


def published(folder: Path) -> Checkpoint:
    """A part of three rows: two with vectors, one that is quarantined."""
    checkpoint = Checkpoint(LocalStore(folder / "state"), "parts")
    rows = [
        {"id": "a", "version": "v1", "sha256": "00", "values": [1.0, 0.0], "error": None},
        {"id": "b", "version": "v1", "sha256": "01", "values": None, "error": "no image"},
        {"id": "c", "version": "v2", "sha256": "02", "values": [0.0, 1.0], "error": None},
    ]
    with part_writer(folder / "part", 2) as writer:
        writer.append(pa.RecordBatch.from_pylist(rows, schema=PART_SCHEMA))
    checkpoint.publish("part-00000000", folder / "part")
    return checkpoint


def test_only_rows_with_a_vector_of_their_version_and_metadata_that_may_be_sent_are_wanted(tmp_path: Path) -> None:
    wanted = pa.table(
        {
            "id": ["c", "a", "b", "c", "a", "nobody"],
            "version": ["v2", "v1", "v1", "v1", "v1", "v1"],
            "metadata_hash": ["h1", None, "h3", "h4", "h5", "h6"],
        }
    )
    assert with_vectors(published(tmp_path), "part-00000000", wanted).to_pylist() == [
        {"id": "c", "version": "v2", "metadata_hash": "h1"},
        {"id": "a", "version": "v1", "metadata_hash": "h5"},
    ]


@pytest.mark.parametrize(
    ("rows", "size", "expected"), [(4, 1 << 30, [4, 4, 2]), (100, 1, [2] * 5), (100, 1 << 30, [10])]
)
def test_small_batches_are_gathered_and_none_is_lost(rows: int, size: int, expected: list[int]) -> None:
    batches = [pa.record_batch({"n": [at, at + 1]}) for at in range(0, 10, 2)]
    found = list(gathered(iter(batches), rows, size))
    assert [batch.num_rows for batch in found] == expected
    assert [n for batch in found for n in batch["n"].to_pylist()] == list(range(10))
    assert list(gathered(iter(()), rows, size)) == []
