"""The checkpoint: parts of one corpus for one model key, published whole and never changed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pinery.checkpoint.parquet import TableWriter, stream, vector_row_group
from pinery.checkpoint.store import Store
from pinery.errors import TerminalError
from pinery.records import PART_SCHEMA

KEY_COLUMNS = ["id", "version", "sha256", "error"]


class Checkpoint:
    """All parts under one folder of a store."""

    def __init__(self, store: Store, folder: str) -> None:
        self.store, self.folder = store, folder
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """The published parts' names, in the order of their making."""
        return list(self.tags())

    def next_number(self) -> int:
        """The number of the next part."""
        names = self.names()
        return int(names[-1].removeprefix("part-")) + 1 if names else 0

    def writer(self, path: Path, dimension: int) -> TableWriter:
        """A writer of one part into the local file `path`."""
        return TableWriter(path, PART_SCHEMA, vector_row_group(dimension))

    def publish(self, part: str, path: Path) -> None:
        """Publish the finished local file as `part`; ConflictError where another run made that part."""
        self.store.publish(self._name(part), path)

    def key_files(self) -> dict[str, Path]:
        """For each part a local Parquet file with at least the columns id, version, sha256 and error."""
        tags = self.tags()
        if self.store.root.startswith("s3://"):
            return {part: self._narrow_copy(part, tag) for part, tag in tags.items()}
        return {part: self.store.local(self._name(part)) for part in tags}

    def tags(self) -> dict[str, str]:
        """The published parts in the order of their making, each with a tag of its content."""
        tags = self.store.tags(self.folder)
        return {name.removesuffix(".parquet"): tags[name] for name in sorted(tags) if name.endswith(".parquet")}

    def open(self, part: str) -> BinaryIO:
        """The file of `part`, for random access."""
        return self.store.open(self._name(part))

    def batches(self, part: str, columns: list[str], batch_rows: int = 1024) -> Iterator[pa.RecordBatch]:
        """Row batches of `part`, streamed."""
        try:
            with self.open(part) as source:
                yield from stream(source, columns, batch_rows)
        except (pa.ArrowInvalid, OSError) as error:
            raise TerminalError(
                f"{self.store.root}/{self._name(part)} can't be read ({str(error)[:200]}). If it is damaged, delete it:"
                " its images are embedded again"
            ) from error

    def row_group(self, part: str, row: int) -> tuple[int, pa.Table]:
        """The row group that row `row` of `part` lies in: its first row's number, and its `sha256` and `values`."""
        with self.open(part) as source, pq.ParquetFile(source, pre_buffer=False) as file:
            first = 0
            for group in range(file.metadata.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if row < first + rows:
                    return first, file.read_row_group(group, columns=["sha256", "values"])
                first += rows
        raise IndexError(f"part {part} has no row {row}")

    def _name(self, part: str) -> str:
        return f"{self.folder}/{part}.parquet"

    def _narrow_copy(self, part: str, tag: str) -> Path:
        digest = hashlib.sha256(tag.encode()).hexdigest()[:16]
        path = self.store.cache(self.folder) / f"{part}.{digest}.parquet"
        with self._lock:
            if not path.exists():
                temporary = path.with_suffix(".making")
                schema = pa.schema([PART_SCHEMA.field(name) for name in KEY_COLUMNS])
                with TableWriter(temporary, schema) as writer:
                    for batch in self.batches(part, KEY_COLUMNS, 16384):
                        writer.append(batch)
                temporary.replace(path)
        return path


def part_name(number: int) -> str:
    """The name of the part made as number `number`; names sort as numbers do."""
    return f"part-{number:08d}"
