"""Vectors are found by the bytes of their image, through a table that may be wrong, spoilt or gone at any time."""

import sqlite3
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pinery.checkpoint.known import KnownBytes
from pinery.checkpoint.parts import Checkpoint, part_name
from pinery.checkpoint.store import LocalStore, Store
from tests.checkpoint.made import DIMENSION, publish, sha


def test_vectors_are_found_by_content_also_in_parts_published_later(store: Store) -> None:
    checkpoint = Checkpoint(store, "corpus/key/parts")
    publish(checkpoint, 0, list(range(1, 200)), bad={7})
    known = KnownBytes(checkpoint)
    known.refresh()
    assert known.find([sha(150)])[sha(150)].tolist() == [150.0] * DIMENSION
    assert known.find([sha(7)]) == {}, "a quarantined row has no vector to take"
    assert known.find([sha(500)]) == {}
    publish(checkpoint, 1, [500])
    known.refresh()
    assert known.find([sha(500)])[sha(500)].tolist() == [500.0] * DIMENSION
    known.close()


def test_a_checkpoint_made_anew_is_not_taken_for_the_old_one(store: Store) -> None:
    checkpoint = Checkpoint(store, "corpus/key/parts")
    publish(checkpoint, 0, [1])
    publish(checkpoint, 1, [2])
    known = KnownBytes(checkpoint)
    known.refresh()
    store.delete(f"corpus/key/parts/{part_name(1)}.parquet")
    known.refresh()
    assert known.find([sha(2)]) == {}
    assert known.find([sha(1)])
    store.delete(f"corpus/key/parts/{part_name(0)}.parquet")
    publish(checkpoint, 0, [9])
    known.close()
    known = KnownBytes(checkpoint)
    assert known.find([sha(1)]) == {}, "before the table knows: the row at that place is another image's"
    known.refresh()
    assert known.find([sha(1)]) == {}
    assert known.find([sha(9)])[sha(9)].tolist() == [9.0] * DIMENSION
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
        assert known.find([sha(150)]) == {}, "what the table says wrong is embedded anew"
    else:
        known.refresh()
        assert known.find([sha(150)])[sha(150)].tolist() == [150.0] * DIMENSION
    known.close()


def test_a_table_that_spoils_while_it_is_open_is_derived_again(tmp_path: Path) -> None:
    checkpoint = Checkpoint(LocalStore(tmp_path / "state"), "corpus/key/parts")
    publish(checkpoint, 0, list(range(1, 2000)))
    known = KnownBytes(checkpoint)
    known.refresh()
    file = checkpoint.store.cache(checkpoint.folder) / "known.sqlite"
    with file.open("r+b") as table:
        table.write(b"\x17" * file.stat().st_size)
    assert known.find([sha(1500)])[sha(1500)].tolist() == [1500.0] * DIMENSION
    known.close()
