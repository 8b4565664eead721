"""The checkpoint: parts of one corpus for one model key, published whole and never changed."""

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from pinery.checkpoint.root import PART, only
from pinery.checkpoint.store import Store
from pinery.checkpoint.whole import whole
from pinery.durable import put_in_place
from pinery.errors import TerminalError
from pinery.parquet.checksums import CheckedFile, check_file
from pinery.parquet.files import TableWriter, open_parquet, stream
from pinery.records import PART_SCHEMA

KEY_COLUMNS = ["id", "version", "sha256", "error"]


class Checkpoint:
    """All parts under one folder of a store."""

    def __init__(self, store: Store, folder: str) -> None:
        self.store, self.folder = store, folder
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Return the published parts' names, in the order of their making."""
        return list(self.tags())

    def next_number(self) -> int:
        """Return the number of the next part."""
        names = self.names()
        return int(names[-1].removeprefix("part-")) + 1 if names else 0

    def publish(self, part: str, path: Path) -> None:
        """Publish the finished local file as `part`. Raises ConflictError where another run made that part."""
        self.store.publish(self._name(part), path)

    def publish_staged(self, part: str, staged: str) -> None:
        """Publish the staged file of that name in the store as `part`, without copying it to this machine.

        Raises ConflictError where another run made that part, TerminalError where there is no such file.
        """
        self.store.move(staged, self._name(part))

    def remove(self, part: str) -> None:
        """Remove `part`; whoever reads it without the lease finds it gone."""
        self.store.delete(self._name(part))

    def sizes(self) -> dict[str, int]:
        """Return the published parts in the order of their making, each with the bytes of its file."""
        sizes = self.store.sizes(self.folder)
        return {name.removesuffix(".parquet"): sizes[name] for name in only(PART, sizes)}

    def forget_copies(self) -> None:
        """Remove what this machine has derived from parts that are gone."""
        current = set(self.names())
        for path in self.store.cache(self.folder).iterdir():
            if path.name.partition(".")[0] not in current and (path.suffix == ".parquet" or not current):
                path.unlink(missing_ok=True)

    def key_files(self) -> dict[str, Path]:
        """Return a checked local Parquet file for each part, with at least the columns id, version, sha256 and error.

        Raises DamagedError where one of these columns isn't what was written.
        """
        tags = self.tags()
        if self.store.root.startswith("s3://"):
            return {part: self._narrow_copy(part, tag) for part, tag in tags.items()}
        return {part: whole(self.store, self._name(part), KEY_COLUMNS) for part in tags}

    def tags(self) -> dict[str, str]:
        """Return the published parts in the order of their making, each with a tag of its content."""
        tags = self.store.tags(self.folder)
        return {name.removesuffix(".parquet"): tags[name] for name in only(PART, tags)}

    def open(self, part: str) -> BinaryIO:
        """Return the file of `part`, for random access; reading it raises DamagedError."""
        return cast(BinaryIO, CheckedFile(self.store.open(self._name(part)), self._where(part)))

    def batches(self, part: str, columns: list[str], batch_rows: int = 1024) -> Iterator[pa.RecordBatch]:
        """Yield the rows of `part` in batches. Raises DamagedError."""
        yield from stream(self.store.open(self._name(part)), columns, batch_rows, self._where(part))

    def row_group(self, part: str, row: int) -> tuple[int, pa.Table]:
        """Return the row group that row `row` of `part` lies in: its first row's number, and its `sha256` and `values`.

        Raises DamagedError, and IndexError where there is no such row.
        """
        with open_parquet(self.store.open(self._name(part)), self._where(part)) as file:
            first = 0
            for group in range(file.metadata.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if row < first + rows:
                    return first, file.read_row_group(group, columns=["sha256", "values"])
                first += rows
        raise IndexError(f"part {part} has no row {row}")

    def _name(self, part: str) -> str:
        return f"{self.folder}/{part}.parquet"

    def _where(self, part: str) -> str:
        return f"{self.store.root}/{self._name(part)}"

    def _narrow_copy(self, part: str, tag: str) -> Path:
        digest = hashlib.sha256(tag.encode()).hexdigest()[:16]
        path = self.store.cache(self.folder) / f"{part}.{digest}.parquet"
        with self._lock:
            try:
                check_file(path, str(path))
                os.utime(path)  # what was used last is what the cache gives up last
            except (FileNotFoundError, TerminalError):  # it is gone, or damaged
                self._make_narrow_copy(part, path)
        return path

    def _make_narrow_copy(self, part: str, path: Path) -> None:
        temporary = path.with_suffix(".making")
        schema = pa.schema([PART_SCHEMA.field(name) for name in KEY_COLUMNS])
        with TableWriter(temporary, schema) as writer:
            for batch in self.batches(part, KEY_COLUMNS, 16384):
                writer.append(batch)
        put_in_place(temporary, path)


def part_name(number: int) -> str:
    """Return the name of the part made as number `number`; names sort as numbers do."""
    return f"part-{number:08d}"
