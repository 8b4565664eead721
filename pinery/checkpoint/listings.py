"""Listings: all items of a corpus at one moment, published after the last page was read."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa

from pinery.parquet.files import TableWriter
from pinery.records import LISTING_SCHEMA


def write_listing(batches: Iterable[pa.RecordBatch], path: Path, progress: Callable[[int], None]) -> int:
    """Write batches of items (LISTING_SCHEMA) to a local Parquet file, in their order, and return the number of items.

    `progress` is told the number of items of each batch.
    """
    with TableWriter(path, LISTING_SCHEMA) as writer:
        for batch in batches:
            writer.append(batch)
            progress(batch.num_rows)
        return writer.rows
