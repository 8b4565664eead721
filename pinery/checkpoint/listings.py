"""Listings: all items of a corpus at one moment, published after the last page was read."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from pinery.checkpoint.store import Store
from pinery.errors import TerminalError
from pinery.parquet.files import TableWriter, stream
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


def listed_batches(store: Store, name: str, columns: list[str], batch_rows: int = 16384) -> Iterator[pa.RecordBatch]:
    """Yield the items of a published listing in batches, a row group in memory at a time.

    Raises DamagedError, TerminalError where the listing is gone.
    """
    try:
        yield from stream(store.local(name), columns, batch_rows, f"{store.root}/{name}")
    except FileNotFoundError:
        raise TerminalError(f"{store.root}/{name} does not exist") from None
