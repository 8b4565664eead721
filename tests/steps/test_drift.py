"""New vectors that are unlike the old ones are told by their mean and their norm."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pinery.checkpoint.parts import Checkpoint, part_name
from pinery.checkpoint.store import LocalStore
from pinery.parquet.files import part_writer
from pinery.records import PART_SCHEMA
from pinery.steps.drift import drift

RNG = np.random.default_rng(0)


def checkpoint(folder: Path, *parts: np.ndarray) -> Checkpoint:
    """A checkpoint with these vectors, one array of shape (rows, dimension) a part."""
    found = Checkpoint(LocalStore(folder), "parts")
    for number, vectors in enumerate(parts):
        names = [f"{number}-{row}" for row in range(len(vectors))]
        columns = {
            "id": names,
            "version": names,
            "sha256": names,
            "values": list(vectors),
            "error": [None] * len(names),
        }
        path = found.store.scratch("making") / "part.parquet"
        with part_writer(path, vectors.shape[1]) as writer:
            writer.append(pa.RecordBatch.from_pydict(columns, schema=PART_SCHEMA))
        found.publish(part_name(number), path)
    return found


def around(direction: int, rows: int = 60, scale: float = 1.0) -> np.ndarray:
    return scale * (np.eye(8)[direction] + RNG.normal(0, 0.05, (rows, 8))).astype(np.float32)


def test_vectors_like_those_before_are_told_as_alike(tmp_path: Path) -> None:
    found = drift(checkpoint(tmp_path, around(0), around(0)), [part_name(1)])
    assert found is not None
    assert (found.new, found.old) == (60, 60)
    assert found.cosine > 0.99
    assert found.norm == pytest.approx(1, abs=0.05)


def test_another_direction_and_another_length_are_told(tmp_path: Path) -> None:
    found = drift(checkpoint(tmp_path, around(0), around(1, scale=2)), [part_name(1)])
    assert found is not None
    assert found.cosine < 0.2
    assert found.norm == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(("old", "new"), [(60, 10), (10, 60), (0, 60)])
def test_of_too_few_vectors_nothing_is_told(tmp_path: Path, old: int, new: int) -> None:
    parts = [around(0, rows) for rows in (old, new) if rows]
    assert drift(checkpoint(tmp_path, *parts), [part_name(len(parts) - 1)]) is None


def test_a_part_that_can_not_be_read_hinders_no_run(tmp_path: Path) -> None:
    made = checkpoint(tmp_path, around(0), around(0))
    (tmp_path / "parts" / f"{part_name(0)}.parquet").write_bytes(b"")
    assert drift(made, [part_name(1)]) is None
