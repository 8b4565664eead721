"""The metadata of planned rows, in the order of the plan, in a file of its own: written within a bounded memory.

A database would sort rows together with their metadata, and those of tens of kilobytes are too much for its memory. So
only places are sorted there; metadata goes, as the listing is read once, to bins whose rows belong next to each other
and fit into memory.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from pinery.parquet.files import TableWriter

BIN_BYTES, MOST_BINS = 32 << 20, 64
BATCH_BYTES, BATCH_ROWS = 8 << 20, 65536
METADATA_SCHEMA = pa.schema([("metadata", pa.string())])
BIN_SCHEMA = METADATA_SCHEMA.insert(0, pa.field("place", pa.int64()))


def write_metadata(con: duckdb.DuckDBPyConnection, path: Path, rows: str, order: str) -> None:
    """Write the metadata of the view or table `rows` (part, position) to `path`, in this order.

    It is null where a row may not be sent.
    """
    con.execute(f"""
        CREATE OR REPLACE TABLE places AS
        SELECT position, i.size, i.refused, row_number() OVER (ORDER BY {order}) - 1 AS place
        FROM {rows} w JOIN items i USING (position)
    """)
    [(count, size)] = con.execute("SELECT count(*), coalesce(sum(size), 0) FROM places").fetchall()
    room = max(BIN_BYTES, size // MOST_BINS + 1)
    at_once = max(1, min(BATCH_ROWS, BATCH_BYTES * count // max(size, 1)))
    with TableWriter(path, METADATA_SCHEMA) as writer:
        for bin in _filled_bins(con, path, room, at_once):
            ordered = bin.take(np.argsort(bin["place"].to_numpy())).select(["metadata"]).combine_chunks()
            for start in range(0, ordered.num_rows, at_once):
                for batch in ordered.slice(start, at_once).to_batches():
                    writer.append(batch)


def _filled_bins(con: duckdb.DuckDBPyConnection, path: Path, room: int, at_once: int) -> Iterator[pa.Table]:
    """Yield the rows as tables of about `room` bytes, each with all rows of a range of places, in any order."""
    # The sum before a row says which bin it belongs to.
    found = con.sql(f"""
        SELECT p.place, CASE WHEN NOT p.refused THEN l.metadata END AS metadata, p.bin::BIGINT AS bin
        FROM listing l JOIN (
            SELECT *, (sum(size) OVER (ORDER BY place) - size) // {room} AS bin FROM places
        ) p USING (position)
    """)
    bins: dict[int, Any] = {}
    with contextlib.ExitStack() as open_files:
        for batch in found.to_arrow_reader(at_once):
            numbers = batch["bin"].to_numpy()
            for number in np.unique(numbers).tolist():
                if number not in bins:
                    file = path.with_suffix(f".bin-{number}")
                    bins[number] = open_files.enter_context(
                        pa.ipc.new_stream(str(file), BIN_SCHEMA, options=_COMPRESSED)
                    )
                bins[number].write_batch(batch.select(["place", "metadata"]).filter(pa.array(numbers == number)))
    for number in sorted(bins):
        file = path.with_suffix(f".bin-{number}")
        with pa.memory_map(str(file)) as source:
            yield pa.ipc.open_stream(source).read_all()
        file.unlink()


_COMPRESSED = pa.ipc.IpcWriteOptions(compression="lz4")
