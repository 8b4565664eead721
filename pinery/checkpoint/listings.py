"""Listings: all items of a corpus at one moment, published after the last page was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import pyarrow as pa

from pinery.checkpoint.parquet import TableWriter
from pinery.records import LISTING_SCHEMA, Item

BATCH = 8192


def write_listing(items: Iterable[Item], path: Path, progress: Callable[[int], None]) -> int:
    """Write items to a local Parquet file (LISTING_SCHEMA, in the source's order); return how many there were."""
    with TableWriter(path, LISTING_SCHEMA) as writer:
        source = iter(items)
        while chunk := list(islice(source, BATCH)):
            columns = {name: [getattr(item, name) for item in chunk] for name in LISTING_SCHEMA.names}
            writer.append(pa.RecordBatch.from_pydict(columns, schema=LISTING_SCHEMA))
            progress(len(chunk))
        return writer.rows
