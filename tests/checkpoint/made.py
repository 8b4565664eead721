"""Files to publish, and parts whose vectors say which image they are of."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from pinery.checkpoint.parts import Checkpoint, part_name
from pinery.checkpoint.store import Store
from pinery.parquet.files import part_writer
from pinery.records import PART_SCHEMA

DIMENSION = 8


def sha(number: int) -> str:
    """The SHA-256 of the image with that number."""
    return f"{number:064x}"


def publish(checkpoint: Checkpoint, number: int, shas: list[int], bad: set[int] = frozenset()) -> None:  # type: ignore[assignment]
    """Publish part `number` with a row for each of the images `shas`; those that are `bad` have an error."""
    path = checkpoint.store.scratch("making") / "part.parquet"
    values = [None if one in bad else np.full(DIMENSION, one, np.float32).tolist() for one in shas]
    columns = {
        "id": [f"i{one}" for one in shas],
        "version": ["v"] * len(shas),
        "sha256": [sha(one) for one in shas],
        "values": values,
        "error": ["broken" if one in bad else None for one in shas],
    }
    with part_writer(path, DIMENSION) as writer:
        writer.append(pa.RecordBatch.from_pydict(columns, schema=PART_SCHEMA))
    checkpoint.publish(part_name(number), path)


def make(store: Store, text: bytes) -> Path:
    """A finished local file that may be published."""
    path = store.scratch("making") / "file"
    path.write_bytes(text)
    return path
