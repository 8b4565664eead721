"""Rows of a plan, written down in files that tasks read by range."""

from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from pinery.duckdb_files import write
from pinery.records import Work, metadata_file
from pinery.steps.metadata_file import write_metadata


def upsert_work(con: duckdb.DuckDBPyConnection, path: Path, rows: str = "to_upsert") -> tuple[Work, ...]:
    """Write the rows of the view or table `rows` (part, position, metadata_hash) to `path`, as one range a part."""
    write_rows(con, path, rows, "w.part, l.id, l.version, w.metadata_hash", "w.part, position")
    work, at = [], 0
    for part, count in con.execute(f"SELECT part, count(*) FROM {rows} GROUP BY part ORDER BY part").fetchall():
        work.append(Work(part, path, at, at + count))
        at += count
    return tuple(work)


def write_rows(con: duckdb.DuckDBPyConnection, path: Path, rows: str, columns: str, order: str) -> int:
    """Write the `columns` of the view or table `rows` to `path`, and its metadata beside it; return how many rows."""
    query = f"SELECT {columns} FROM {rows} w JOIN listing l USING (position) ORDER BY {order}"
    write(con, query, path, row_group_rows=16384)
    write_metadata(con, metadata_file(path), rows, order)
    return int(pq.read_metadata(path).num_rows)
