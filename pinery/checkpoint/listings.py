"""Listings: all items of a corpus at one moment, published after the last page was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from pinery.checkpoint.parquet import TableWriter
from pinery.records import LISTING_SCHEMA, Item

BATCH_ROWS, BATCH_BYTES = 8192, 8 << 20
"""Items are taken to Arrow so many at a time, or when their metadata is so large."""


def write_listing(items: Iterable[Item], path: Path, progress: Callable[[int], None]) -> int:
    """Write items to a local Parquet file (LISTING_SCHEMA, in the source's order); return how many there were."""
    with TableWriter(path, LISTING_SCHEMA) as writer:
        for chunk in _chunks(items):
            columns = {name: [getattr(item, name) for item in chunk] for name in LISTING_SCHEMA.names}
            writer.append(pa.RecordBatch.from_pydict(columns, schema=LISTING_SCHEMA))
            progress(len(chunk))
        return writer.rows


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    chunk: list[Item] = []
    size = 0
    for item in items:
        chunk.append(item)
        size += len(item.metadata)
        if len(chunk) == BATCH_ROWS or size >= BATCH_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk
