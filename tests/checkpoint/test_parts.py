"""Parts: what is written is what is read, by batch, by row and by content; on a folder and on S3."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pinery.checkpoint.known import KnownBytes
from pinery.checkpoint.parquet import read_rows
from pinery.checkpoint.parts import Checkpoint, part_name
from pinery.checkpoint.store import LocalStore, Store
from pinery.errors import ConflictError
from pinery.records import PART_SCHEMA

DIMENSION = 8
FOREIGN = [
    "desktop.ini",
    "Thumbs.db",
    "part-00000003 (conflicted copy).parquet",
    "part-00000003.sync-conflict-20260101-120000-ABCDEFG.parquet",
    "part-00000003 (1).parquet",
    "Copy of part-00000003.parquet",
    "part-00000009.parquet.tmp",
    "part-9.parquet",
]


def sha(number: int) -> str:
    return f"{number:064x}"


def publish(checkpoint: Checkpoint, number: int, shas: list[int], bad: set[int] = frozenset()) -> None:  # type: ignore[assignment]
    path = checkpoint.store.scratch("making") / "part.parquet"
    values = [None if one in bad else np.full(DIMENSION, one, np.float32).tolist() for one in shas]
    columns = {
        "id": [f"i{one}" for one in shas],
        "version": ["v"] * len(shas),
        "sha256": [sha(one) for one in shas],
        "values": values,
        "error": ["broken" if one in bad else None for one in shas],
    }
    with checkpoint.writer(path, DIMENSION) as writer:
        writer.append(pa.RecordBatch.from_pydict(columns, schema=PART_SCHEMA))
    checkpoint.publish(part_name(number), path)


def test_parts_come_back_as_written(store: Store) -> None:
    checkpoint = Checkpoint(store, "corpus/key/parts")
    assert checkpoint.next_number() == 0
    publish(checkpoint, 0, [1, 2, 3], bad={2})
    publish(checkpoint, 1, [4])
    assert checkpoint.names() == [part_name(0), part_name(1)]
    assert checkpoint.next_number() == 2
    rows = [row for batch in checkpoint.batches(part_name(0), ["id", "values"]) for row in batch.to_pylist()]
    assert rows[0] == {"id": "i1", "values": [1.0] * DIMENSION}
    assert rows[1]["values"] is None
    keys = pq.read_table(checkpoint.key_files()[part_name(0)], columns=["id", "version", "sha256", "error"])
    assert keys["error"].to_pylist() == [None, "broken", None]
    with pytest.raises(ConflictError):
        publish(checkpoint, 1, [5])


def test_vectors_are_found_by_content_also_in_parts_published_later(store: Store) -> None:
    checkpoint = Checkpoint(store, "corpus/key/parts")
    publish(checkpoint, 0, list(range(1, 200)), bad={7})
    known = KnownBytes(checkpoint)
    known.refresh()
    assert known.values(sha(150)).tolist() == [150.0] * DIMENSION  # type: ignore[union-attr]
    assert known.values(sha(7)) is None, "a quarantined row has no vector to take"
    assert known.values(sha(500)) is None
    publish(checkpoint, 1, [500])
    known.refresh()
    assert known.values(sha(500)).tolist() == [500.0] * DIMENSION  # type: ignore[union-attr]
    known.close()


def test_a_checkpoint_made_anew_is_not_taken_for_the_old_one(store: Store) -> None:
    checkpoint = Checkpoint(store, "corpus/key/parts")
    publish(checkpoint, 0, [1])
    publish(checkpoint, 1, [2])
    known = KnownBytes(checkpoint)
    known.refresh()
    store.delete(f"corpus/key/parts/{part_name(1)}.parquet")
    known.refresh()
    assert known.values(sha(2)) is None
    assert known.values(sha(1)) is not None
    store.delete(f"corpus/key/parts/{part_name(0)}.parquet")
    publish(checkpoint, 0, [9])
    known.close()
    known = KnownBytes(checkpoint)
    assert known.values(sha(1)) is None, "before the table knows: the row at that place is another image's"
    known.refresh()
    assert known.values(sha(1)) is None
    assert known.values(sha(9)).tolist() == [9.0] * DIMENSION  # type: ignore[union-attr]
    keys = pq.read_table(checkpoint.key_files()[part_name(0)], columns=["id"])
    assert keys["id"].to_pylist() == ["i9"]
    known.close()


@pytest.mark.parametrize("spoil", ["later pages are zeros", "no database", "empty", "other rows", "a folder's tables"])
def test_a_spoilt_table_of_known_bytes_is_derived_again(tmp_path: Path, spoil: str) -> None:
    checkpoint = Checkpoint(LocalStore(tmp_path / "state"), "corpus/key/parts")
    publish(checkpoint, 0, list(range(1, 2000)))
    known = KnownBytes(checkpoint)
    known.refresh()
    known.close()
    file = checkpoint.store.cache(checkpoint.folder) / "known.sqlite"
    data = file.read_bytes()
    if spoil == "other rows":
        with sqlite3.connect(file) as table:
            table.execute("UPDATE known SET row = row + 5000")
    elif spoil == "a folder's tables":
        file.unlink()
        with sqlite3.connect(file) as table:
            table.execute("CREATE TABLE known (something TEXT)")
    else:
        spoilt = {"later pages are zeros": data[:4096] + bytes(len(data) - 4096), "no database": b"\x17" * len(data)}
        file.write_bytes(spoilt.get(spoil, b""))
    known = KnownBytes(checkpoint)
    if spoil == "other rows":
        assert known.values(sha(150)) is None, "what the table says wrong is embedded anew"
    else:
        known.refresh()
        assert known.values(sha(150)).tolist() == [150.0] * DIMENSION  # type: ignore[union-attr]
    known.close()


def test_a_table_that_spoils_while_it_is_open_is_derived_again(tmp_path: Path) -> None:
    checkpoint = Checkpoint(LocalStore(tmp_path / "state"), "corpus/key/parts")
    publish(checkpoint, 0, list(range(1, 2000)))
    known = KnownBytes(checkpoint)
    known.refresh()
    file = checkpoint.store.cache(checkpoint.folder) / "known.sqlite"
    with file.open("r+b") as table:
        table.write(b"\x17" * file.stat().st_size)
    assert known.values(sha(1500)).tolist() == [1500.0] * DIMENSION  # type: ignore[union-attr]
    known.close()


def test_a_spoilt_narrow_copy_is_made_anew(s3_store: Store) -> None:
    checkpoint = Checkpoint(s3_store, "corpus/key/parts")
    publish(checkpoint, 0, [1, 2, 3])
    [path] = checkpoint.key_files().values()
    for spoilt in (b"", bytes(path.stat().st_size), path.read_bytes()[:-9]):
        path.write_bytes(spoilt)
        assert pq.read_table(checkpoint.key_files()[part_name(0)])["id"].to_pylist() == ["i1", "i2", "i3"]


def test_files_of_other_programs_are_no_parts(store: Store) -> None:
    checkpoint = Checkpoint(store, "corpus/key/parts")
    publish(checkpoint, 3, [1])
    for name in FOREIGN:
        store.write(f"corpus/key/parts/{name}", b"x")
    assert checkpoint.names() == [part_name(3)]
    assert checkpoint.next_number() == 4
    assert list(checkpoint.key_files()) == [part_name(3)]


def test_a_range_of_rows_crosses_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "work.parquet"
    pq.write_table(pa.table({"n": list(range(100))}), path, row_group_size=7)
    for start, stop in [(0, 100), (5, 9), (6, 7), (7, 14), (93, 100)]:
        assert read_rows(path, start, stop)["n"].to_pylist() == list(range(start, stop))
