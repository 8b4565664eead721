"""Writes and reads the Parquet files of a state."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq

from pinery.parquet.checksums import NOTE, CheckedFile, add_checksums
from pinery.parquet.damage import damaged
from pinery.records import PART_SCHEMA

# Measured by benchmarks/codec.py over 512 float32 values (2,048 bytes): zstd 1 stores dense vectors in 1,894 bytes and
# the descriptor's, with their many zeros, in 1,018. After BYTE_STREAM_SPLIT that is 1,726 and 1,034, but Spark 3.5 and
# fastparquet can't read it, and parts are for others to read as well. Level 3 writes about a third slower and gains
# 1 % at most; lz4 and snappy take a fifth more on zeros; under zstd a dictionary is larger and slower. Reading speeds
# differ from run to run by more than these do.
COMPRESSION: Final = "zstd"
COMPRESSION_LEVEL = 1
ROW_GROUP_BYTES = 4 << 20
ROW_GROUP_ROWS = 16384
PENDING_BYTES = 16 << 20
"""A row group is written at this size, which rows of tens of kilobytes reach before they are ROW_GROUP_ROWS."""


class TableWriter:
    """Writes batches of one schema to a local Parquet file; the file is whole only after a clean exit."""

    def __init__(
        self, path: Path, schema: pa.Schema, row_group_rows: int = ROW_GROUP_ROWS, *, checksums: bool = True
    ) -> None:
        """Open `path` to write; without `checksums` the file is exactly what the format asks for."""
        self.path, self.schema, self.rows = path, schema, 0
        self._row_group_rows, self._checksums = row_group_rows, checksums
        self._writer = pq.ParquetWriter(
            path,
            schema.with_metadata(NOTE) if checksums else schema,
            compression=COMPRESSION,
            compression_level=COMPRESSION_LEVEL,
            use_dictionary=cast(Any, [name for name in schema.names if name in ("error", "reason", "group")]),
            write_statistics=True,
            write_page_checksum=True,
        )
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = self._pending_bytes = 0

    def append(self, batch: pa.RecordBatch) -> None:
        """Add rows; they reach the disk a row group at a time."""
        self._pending.append(batch.cast(self.schema) if batch.schema != self.schema else batch)
        self._pending_rows += batch.num_rows
        self._pending_bytes += batch.nbytes
        self.rows += batch.num_rows
        if self._pending_rows >= self._row_group_rows or self._pending_bytes >= PENDING_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._writer.write_table(pa.Table.from_batches(self._pending), row_group_size=self._row_group_rows)
            self._pending, self._pending_rows, self._pending_bytes = [], 0, 0

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._flush()
        self._writer.close()
        if error is None and self._checksums:
            add_checksums(self.path)


def vector_row_group(dimension: int) -> int:
    """Return the rows of a row group of vectors, so that it has about 4 MiB and a reader can stream."""
    return max(64, min(ROW_GROUP_ROWS, ROW_GROUP_BYTES // (4 * max(dimension, 1))))


def part_writer(path: Path, dimension: int) -> TableWriter:
    """Return a writer of one part (PART_SCHEMA, with vectors of `dimension` values) into the local file `path`."""
    return TableWriter(path, PART_SCHEMA, vector_row_group(dimension))


@contextlib.contextmanager
def open_parquet(source: Path | BinaryIO, where: str = "") -> Iterator[pq.ParquetFile]:
    """Yield a Parquet file whose bytes are checked before they are read; `where` names it in messages.

    Whatever Arrow can't read inside the `with` is taken for damage, so nothing else belongs there. Raises DamagedError.
    """
    name = where or str(source)
    beneath = source.open("rb") if isinstance(source, Path) else source
    try:
        with (
            CheckedFile(beneath, name) as checked,
            pq.ParquetFile(
                cast(Any, checked), metadata=checked.metadata(), pre_buffer=False, page_checksum_verification=True
            ) as file,
        ):
            yield file
    except MemoryError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise damaged(name, str(error).partition("\n")[0][:200]) from error


def stream(
    source: Path | BinaryIO, columns: list[str] | None = None, batch_rows: int = 4096, where: str = ""
) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a Parquet file, a row group in memory at a time. Raises DamagedError."""
    with open_parquet(source, where) as file:
        yield from file.iter_batches(batch_size=batch_rows, columns=columns)


def read_rows(path: Path, start: int, stop: int) -> pa.Table:
    """Return rows `start` to `stop` (exclusive) of a local Parquet file, reading only the row groups they lie in.

    Raises DamagedError.
    """
    with open_parquet(path) as file:
        first, groups, before = 0, [], None
        for group in range(file.metadata.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if first < stop and first + rows > start:
                groups.append(group)
                before = first if before is None else before
            first += rows
        table = file.read_row_groups(groups)
    return table.slice(start - (before or 0), stop - start)
