"""The rows of one part that are to be in an index: vectors from the checkpoint, metadata from the listing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pinery.checkpoint.parts import Checkpoint
from pinery.indexes.protocol import ROWS_SCHEMA


def with_vectors(checkpoint: Checkpoint, part: str, wanted: pa.Table) -> pa.Table:
    """The rows of `wanted` (id, version, …) that have a vector in `part`."""
    keys = _key(wanted)
    has = np.zeros(wanted.num_rows, dtype=bool)
    for batch in checkpoint.batches(part, ["id", "version", "error"], 16384):
        found = pc.index_in(_key(batch), keys)
        usable = pc.and_(pc.is_valid(found), pc.is_null(batch["error"]))
        has[found.filter(usable).to_numpy()] = True
    return wanted.filter(pa.array(has))


def live_rows(checkpoint: Checkpoint, part: str, wanted: pa.Table) -> Iterator[pa.RecordBatch]:
    """Batches (ROWS_SCHEMA) of the rows of `wanted` (id, version, metadata, …), which all have a vector in `part`."""
    keys = _key(wanted)
    for batch in checkpoint.batches(part, ["id", "version", "values"]):
        found = pc.index_in(_key(batch), keys)
        usable = pc.is_valid(found)
        rows = batch.filter(usable)
        if rows.num_rows:
            metadata = wanted["metadata"].take(found.filter(usable)).combine_chunks()
            values = rows["values"].cast(ROWS_SCHEMA.field("values").type)
            yield pa.RecordBatch.from_arrays([rows["id"], values, metadata], schema=ROWS_SCHEMA)


def gathered(batches: Iterable[pa.RecordBatch], rows: int, size: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of at least `rows` rows or `size` bytes, but for the last: few requests, not many small.

    Where a part has few rows to send, each batch of it has next to none.
    """
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(one.num_rows for one in waiting) >= rows or sum(one.nbytes for one in waiting) >= size:
            yield pa.concat_batches(waiting)
            waiting = []
    if waiting:
        yield pa.concat_batches(waiting)


def _key(rows: pa.Table | pa.RecordBatch) -> Any:
    key: Any = pc.binary_join_element_wise(rows["id"], rows["version"], pa.scalar("\x00"))  # type: ignore[call-overload]  # stubs want arrays only
    return key.combine_chunks() if isinstance(key, pa.ChunkedArray) else key
