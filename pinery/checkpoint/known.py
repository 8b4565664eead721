"""A local table of the images that have a vector already: from the SHA-256 of their bytes to the row that has it."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pinery.checkpoint.parts import Checkpoint
from pinery.checkpoint.root import CorpusPaths, open_store
from pinery.checkpoint.store import is_full
from pinery.config import Config
from pinery.parquet.files import stream

Result = TypeVar("Result")
GROUPS = 4
"""The number of row groups in memory, of about 4 MiB each. Threads that fetch side by side may be in two of them."""
LOOKED_UP_AT_ONCE = 500
BUSY = ("database is locked", "database table is locked")


class KnownBytes:
    """Looks vectors up by content; the table is derived from the parts and grows by what is new since last time.

    It lives on disk, so that its memory doesn't grow with the checkpoint. Its file may be deleted at any time, and a
    file that can't be read, as after a power cut, is deleted and derived again.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._lock = threading.Lock()
        self._groups: deque[_Group] = deque(maxlen=GROUPS)
        self._path = checkpoint.store.cache(checkpoint.folder) / "known.sqlite"
        self._table = self._healed(self._open, lambda: None)

    def refresh(self) -> None:
        """Take in the parts published since the last refresh, and forget the table if a part it names is gone.

        Raises DamagedError for a part that isn't what was written.
        """
        with self._lock:
            self._healed(self._refresh, self._reopen)

    def find(self, sha256: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        """Return the float32 vectors (dimension,) of images with these bytes, by hash. Raises DamagedError."""
        with self._lock:
            places = self._healed(lambda: self._find(sha256), self._renew)
            found = {}
            # In the order of the rows, so that each group is read once.
            for wanted, (part, row) in sorted(places.items(), key=lambda one: one[1]):
                # The table only says where to look; the row itself says whose vector it is. Where the table is wrong,
                # the image is embedded anew.
                with contextlib.suppress(IndexError):
                    if (vector := self._group(part, row).vector(row, wanted)) is not None:
                        found[wanted] = vector
            return found

    def close(self) -> None:
        """Let go of the table's file."""
        self._table.close()

    def _group(self, part: str, row: int) -> _Group:
        for group in self._groups:
            if group.holds(part, row):
                return group
        self._groups.appendleft(_Group.of(part, *self._checkpoint.row_group(part, row)))
        return self._groups[0]

    def _find(self, sha256: Sequence[str]) -> dict[str, tuple[str, int]]:
        found: dict[str, tuple[str, int]] = {}
        for at in range(0, len(sha256), LOOKED_UP_AT_ONCE):
            some = [bytes.fromhex(one) for one in sha256[at : at + LOOKED_UP_AT_ONCE]]
            places = f"SELECT sha256, part, row FROM known WHERE sha256 IN ({', '.join('?' * len(some))})"
            found |= {one.hex(): (str(part), int(row)) for one, part, row in self._table.execute(places, some)}
        return found

    def _refresh(self) -> None:
        published = {f"{part} {tag}": part for part, tag in self._checkpoint.tags().items()}
        seen = {part for (part,) in self._table.execute("SELECT part FROM parts")}
        if not seen <= published.keys():
            self._table.executescript("DELETE FROM parts; DELETE FROM known;")
            seen = set()
        if new := [name for name in published if name not in seen]:
            files = self._checkpoint.key_files()
            for name in new:
                self._absorb(name, published[name], files[published[name]])

    def _absorb(self, name: str, part: str, file: Path) -> None:
        row = 0
        for batch in stream(file, ["sha256", "error"], 16384):
            rows = [
                (bytes.fromhex(sha256), part, row + offset)
                for offset, (sha256, error) in enumerate(zip(*batch.to_pydict().values(), strict=True))
                if error is None
            ]
            row += batch.num_rows
            self._table.executemany("INSERT OR IGNORE INTO known VALUES (?, ?, ?)", rows)
        self._table.execute("INSERT INTO parts VALUES (?)", (name,))
        self._table.commit()

    def _healed(self, action: Callable[[], Result], renew: Callable[[], None]) -> Result:
        """Return the result of `action` on the table; if its file can't be used, call `action` again on a new one."""
        try:
            return action()
        except sqlite3.DatabaseError as error:
            if is_full(error) or str(error).startswith(BUSY):
                raise  # nothing is known against the file
            for suffix in ("", "-journal", "-wal", "-shm"):
                self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            renew()
            return action()

    def _renew(self) -> None:
        self._reopen()
        self._refresh()

    def _reopen(self) -> None:
        self._table.close()
        self._table = self._open()

    def _open(self) -> sqlite3.Connection:
        table = sqlite3.connect(self._path, check_same_thread=False)
        table.execute("PRAGMA synchronous = OFF")
        table.executescript(
            "CREATE TABLE IF NOT EXISTS parts (part TEXT PRIMARY KEY) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS known (sha256 BLOB PRIMARY KEY, part TEXT, row INTEGER) WITHOUT ROWID;"
        )
        return table


class _Group:
    """A row group in memory: renamed items lie side by side as a rule, so the next one is in the same group."""

    def __init__(
        self,
        part: str,
        first: int,
        sha256: list[str | None],
        offsets: npt.NDArray[np.int64],
        values: npt.NDArray[np.float32],
    ) -> None:
        """Take all vectors, one after the other, as `values`; `offsets` (rows + 1,) says which of them are a row's."""
        self._part, self._first, self._sha256, self._offsets, self._values = part, first, sha256, offsets, values

    @classmethod
    def of(cls, part: str, first: int, rows: pa.Table) -> _Group:
        """Return the group of these `rows` (sha256, values), a row group whose first row is row `first` of its part."""
        column: Any = rows["values"].combine_chunks()
        texts: Any = rows["sha256"].to_pylist()
        offsets = np.concatenate([[0], np.cumsum(np.asarray(column.value_lengths().fill_null(0), np.int64))])
        return cls(part, first, texts, offsets, column.flatten().to_numpy(zero_copy_only=False))

    def holds(self, part: str, row: int) -> bool:
        """Return whether row `row` of `part` is in this group."""
        return part == self._part and 0 <= row - self._first < len(self._sha256)

    def vector(self, row: int, sha256: str) -> npt.NDArray[np.float32] | None:
        """Return the vector (dimension,) of row `row`, if it is that of an image with these bytes."""
        at = row - self._first
        start, stop = self._offsets[at : at + 2]
        return self._values[start:stop].copy() if stop > start and self._sha256[at] == sha256 else None


class KnownElsewhere:
    """The table of known bytes as a worker reads it, while the run keeps it up to date."""

    def __init__(self, known: KnownBytes) -> None:
        self._known = known

    def find(self, sha256: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        """See KnownBytes."""
        try:
            return self._known.find(sha256)
        except sqlite3.OperationalError:  # locked for a long write: embedding is right too, and waiting isn't
            return {}


def open_known(config: Config, model_key: str) -> KnownElsewhere:
    """Open the table of the checkpoint of a corpus and a model, for a worker."""
    checkpoint = Checkpoint(open_store(config), CorpusPaths(config.corpus).parts(model_key))
    return KnownElsewhere(KnownBytes(checkpoint))
