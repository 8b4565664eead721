"""The rows of one part that are to be in an index: vectors from the checkpoint, metadata from the listing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pinery.checkpoint.parts import Checkpoint
from pinery.indexes.protocol import ROWS_SCHEMA
from pinery.parquet.files import read_rows
from pinery.records import Work

PIECE_BYTES = 64 << 20
"""Metadata that is in memory at once. A part is read once for each piece, and nearly every part has one."""


def with_vectors(checkpoint: Checkpoint, part: str, wanted: pa.Table) -> pa.Table:
    """The rows of `wanted` (id, version, metadata_hash, …) that have a vector in `part` and may be sent."""
    wanted = wanted.filter(pc.is_valid(wanted["metadata_hash"]))
    keys = row_keys(wanted)
    has = np.zeros(wanted.num_rows, dtype=bool)
    for batch in checkpoint.batches(part, ["id", "version", "error"], 16384):
        found = pc.index_in(row_keys(batch), keys)
        usable = pc.and_(pc.is_valid(found), pc.is_null(batch["error"]))
        has[found.filter(usable).to_numpy()] = True
    return wanted.filter(pa.array(has))


def live_rows(checkpoint: Checkpoint, work: Work) -> Iterator[pa.RecordBatch]:
    """Batches (ROWS_SCHEMA) of the rows of `work` that have a vector in its part and may be sent."""
    for piece in _pieces(work):
        wanted = piece.filter(pc.is_valid(piece["metadata"]))
        keys = row_keys(wanted)
        for batch in checkpoint.batches(work.part, ["id", "version", "values"]):
            found = pc.index_in(row_keys(batch), keys)
            usable = pc.and_(pc.is_valid(found), pc.is_valid(batch["values"]))
            rows = batch.filter(usable)
            if rows.num_rows:
                metadata = wanted["metadata"].take(found.filter(usable)).combine_chunks()
                values = rows["values"].cast(ROWS_SCHEMA.field("values").type)
                yield pa.RecordBatch.from_arrays([rows["id"], values, metadata], schema=ROWS_SCHEMA)


def _pieces(work: Work) -> Iterator[pa.Table]:
    """The rows of `work` with their metadata (id, version, metadata), as many at once as `PIECE_BYTES` allow."""
    rows = read_rows(work.path, work.start, work.stop).select(["id", "version"])
    pending: list[pa.Array[Any]] = []
    done = 0
    for texts in _metadata(work):
        pending.append(texts)
        if sum(one.nbytes for one in pending) >= PIECE_BYTES:
            piece = pa.chunked_array(pending)
            yield rows.slice(done, len(piece)).append_column("metadata", piece)
            done, pending = done + len(piece), []
    if pending:
        yield rows.slice(done).append_column("metadata", pa.chunked_array(pending))


def _metadata(work: Work) -> Iterator[pa.Array[Any]]:
    """The metadata of the rows of `work`, a row group at a time."""
    first = 0
    with pq.ParquetFile(work.metadata) as file:
        for group in range(file.metadata.num_row_groups):
            stop = first + file.metadata.row_group(group).num_rows
            if first < work.stop and stop > work.start:
                texts = file.read_row_group(group)["metadata"].combine_chunks()
                begin = max(0, work.start - first)
                yield texts.slice(begin, min(work.stop, stop) - first - begin)
            first = stop


def gathered(batches: Iterable[pa.RecordBatch], rows: int, size: int) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of at least `rows` rows or `size` bytes, but for the last: few requests, not many small.

    Where a part has few rows to send, each batch of it has next to none.
    """
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(one.num_rows for one in waiting) >= rows or sum(one.nbytes for one in waiting) >= size:
            yield _one(waiting)
            waiting = []
    if waiting:
        yield _one(waiting)


def _one(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return pa.Table.from_batches(batches).combine_chunks().to_batches()[0]


def row_keys(rows: pa.Table | pa.RecordBatch) -> Any:
    """One text for each row's id and version together, as an array."""
    key: Any = pc.binary_join_element_wise(rows["id"], rows["version"], pa.scalar("\x00"))  # type: ignore[call-overload]  # stubs want arrays only
    return key.combine_chunks() if isinstance(key, pa.ChunkedArray) else key
