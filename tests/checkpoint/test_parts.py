"""Parts: what is written is what is read, by batch and by row; on a folder and on S3."""

import pyarrow.parquet as pq
import pytest

from pinery.checkpoint.parts import Checkpoint, part_name
from pinery.checkpoint.store import Store
from pinery.errors import ConflictError
from tests.checkpoint.made import DIMENSION, publish

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


def test_a_spoilt_narrow_copy_is_made_anew(s3_store: Store) -> None:
    checkpoint = Checkpoint(s3_store, "corpus/key/parts")
    publish(checkpoint, 0, [1, 2, 3])
    [path] = checkpoint.key_files().values()
    for spoilt in (b"", bytes(path.stat().st_size), path.read_bytes()[:-9]):
        path.write_bytes(spoilt)
        assert pq.read_table(checkpoint.key_files()[part_name(0)])["id"].to_pylist() == ["i1", "i2", "i3"]


def test_a_removed_part_is_gone_and_so_is_what_was_derived_from_it(store: Store) -> None:
    checkpoint = Checkpoint(store, "corpus/key/parts")
    for number in range(2):
        publish(checkpoint, number, [number])
    known = store.cache(checkpoint.folder) / "known.sqlite"
    known.write_bytes(b"")
    checkpoint.key_files()
    assert {*checkpoint.sizes()} == {part_name(0), part_name(1)}
    assert min(checkpoint.sizes().values()) > 100
    checkpoint.remove(part_name(0))
    checkpoint.forget_copies()
    assert checkpoint.names() == [*checkpoint.key_files()] == [part_name(1)]
    left = {path.name.partition(".")[0] for path in known.parent.iterdir()}
    assert left <= {"known", part_name(1)}
    assert known.exists(), "a run brings it up to date"
    checkpoint.remove(part_name(1))
    checkpoint.forget_copies()
    assert [*known.parent.iterdir()] == [], "nothing is left of a checkpoint without parts"


def test_files_of_other_programs_are_no_parts(store: Store) -> None:
    checkpoint = Checkpoint(store, "corpus/key/parts")
    publish(checkpoint, 3, [1])
    for name in FOREIGN:
        store.write(f"corpus/key/parts/{name}", b"x")
    assert checkpoint.names() == [part_name(3)]
    assert checkpoint.next_number() == 4
    assert list(checkpoint.key_files()) == [part_name(3)]
