"""The ledger: what an index holds, as acknowledged; entries are appended, snapshots replace them."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pinery.checkpoint.own import publish_own
from pinery.checkpoint.root import ENTRY, IndexPaths, only
from pinery.checkpoint.store import Store
from pinery.checkpoint.whole import whole
from pinery.parquet.files import TableWriter
from pinery.records import LEDGER_SCHEMA, REJECTED_SCHEMA

SNAPSHOT = "snapshot-"
SNAPSHOT_SHARE = 10
SNAPSHOT_FILES = 64


class Ledger:
    """The ledger of one (index, namespace), written under one lease epoch.

    Entries older than `first_epoch` belong to an index that is gone and are ignored.
    """

    def __init__(self, store: Store, paths: IndexPaths, epoch: int, first_epoch: int) -> None:
        self._store, self._paths, self._epoch, self.first_epoch = store, paths, epoch, first_epoch
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def files(self) -> list[Path]:
        """Return local copies of the newest snapshot and the entries after it, oldest first. Raises DamagedError."""
        return [whole(self._store, f"{self._paths.ledger}/{name}") for name in self._current()]

    def names(self) -> list[str]:
        """Return the names of `files`, in the same order."""
        return self._current()

    @property
    def doubts(self) -> str:
        """The folder of rows (LEDGER_SCHEMA) that the next run is to doubt, a file for each lease taken over."""
        return self._paths.doubts

    def newest_entries(self, rows: int) -> list[Path]:
        """Return local copies of the newest entries since the snapshot, all of one epoch, with `rows` rows or more.

        Raises DamagedError.
        """
        names = [name for name in self._current() if not name.startswith(SNAPSHOT)]
        found: list[Path] = []
        for name in reversed(names):
            if rows <= 0 or _epoch(name) != _epoch(names[-1]):
                break
            found.append(self._with_footer(name))
            rows -= pq.read_metadata(found[-1]).num_rows
        return found

    def rejected_files(self) -> list[Path]:
        """Return local copies of what the index rejected, oldest first. Raises DamagedError."""
        return [whole(self._store, f"{self._paths.rejected}/{name}") for name in self.rejected_names()]

    def intend(self, ids: pa.Array[Any] | pa.ChunkedArray[Any], scratch: Path) -> str:
        """Note ids that are about to be written or deleted: until they are entered, the index may hold either state.

        Returns the entry's name.
        """
        return self.enter(rows_of_ids(ids), scratch)

    def enter(self, rows: pa.Table, scratch: Path) -> str:
        """Enter acknowledged rows (LEDGER_SCHEMA), all at once; return the entry's name."""
        return self._append(self._paths.ledger, rows.cast(LEDGER_SCHEMA), scratch)

    def enter_file(self, path: Path) -> None:
        """Enter the local Parquet file `path` (LEDGER_SCHEMA) as it is, and remove it."""
        with self._lock:
            publish_own(self._store, f"{self._paths.ledger}/{self._next_name()}", path)

    def open_entry(self, ids: pa.ChunkedArray[Any], scratch: Path) -> OpenEntry:
        """Note ids that are about to be written, to be entered as they are acknowledged."""
        return OpenEntry(self, ids, scratch)

    def withdraw(self, names: list[str]) -> None:
        """Remove entries of this run; a later one must say all that they said."""
        for name in names:
            self._store.delete(f"{self._paths.ledger}/{name}")

    def reject(self, rows: pa.Table, scratch: Path) -> None:
        """Record rows (REJECTED_SCHEMA) that the index refused."""
        self._append(self._paths.rejected, rows.cast(REJECTED_SCHEMA), scratch)

    def rejected_names(self) -> list[str]:
        """Return the names of the files of what the index rejected, in the order of `rejected_files`."""
        return [name for name in self._entries(self._paths.rejected) if _epoch(name) >= self.first_epoch]

    def forget_rejected(self, name: str) -> None:
        """Remove a file of what the index rejected; the rows of it that still count must be in another."""
        self._store.delete(f"{self._paths.rejected}/{name}")

    def stale(self) -> list[str]:
        """Return the names in the state of files that count for nothing: another index' or replaced by a snapshot.

        The newest file is none of them, for later entries are named after it.
        """
        current = {f"{self._paths.ledger}/{name}" for name in self._current()}
        current |= {f"{self._paths.rejected}/{name}" for name in self.rejected_names()}
        folders = (self._paths.ledger, self._paths.rejected)
        found = [f"{folder}/{name}" for folder in folders for name in self._entries(folder)]
        newest = max(found, key=lambda name: _epoch(name.rpartition("/")[2]), default="")
        return [name for name in found if name not in current and name != newest]

    def wants_snapshot(self) -> bool:
        """Return whether the entries since the last snapshot have grown past a tenth of it. Raises DamagedError."""
        names = self._current()
        rows = [pq.read_metadata(self._with_footer(name)).num_rows for name in names]
        held = rows[0] if names and names[0].startswith(SNAPSHOT) else 0
        entries = sum(rows) - held
        count = len(names) - (1 if held else 0)
        return count > 1 and (entries * SNAPSHOT_SHARE > held or count > SNAPSHOT_FILES)

    def publish_snapshot(self, path: Path) -> None:
        """Publish the local file `path` (LEDGER_SCHEMA, a row an id, none deleted), then remove what it replaces."""
        replaced = self._current()
        newest = replaced[-1].removeprefix(SNAPSHOT)
        publish_own(self._store, f"{self._paths.ledger}/{SNAPSHOT}{newest}", path)
        for name in replaced:
            self._store.delete(f"{self._paths.ledger}/{name}")

    def _with_footer(self, name: str) -> Path:
        """Return a local copy of which nothing but the footer is checked. Raises DamagedError."""
        return whole(self._store, f"{self._paths.ledger}/{name}", columns=[])

    def _current(self) -> list[str]:
        names = [name for name in self._entries(self._paths.ledger) if _epoch(name) >= self.first_epoch]
        snapshots = [name for name in names if name.startswith(SNAPSHOT)]
        newest = snapshots[-1] if snapshots else ""
        entries = [name for name in names if not name.startswith(SNAPSHOT) and name > newest.removeprefix(SNAPSHOT)]
        return ([newest] if newest else []) + entries

    def _entries(self, folder: str) -> list[str]:
        return only(ENTRY, self._store.names(folder))

    def _append(self, folder: str, rows: pa.Table, scratch: Path) -> str:
        with self._lock:
            name = self._next_name()
            path = scratch / f"entry-{name}"
            with TableWriter(path, rows.schema) as writer:
                for batch in rows.to_batches():
                    writer.append(batch)
            publish_own(self._store, f"{folder}/{name}", path)
        return name

    def _next_name(self) -> str:
        return f"{self._epoch:08d}-{next(self._numbers):08d}.parquet"


class OpenEntry:
    """The rows of one unit of work, entered while they are acknowledged; one entry in the end."""

    def __init__(self, ledger: Ledger, ids: pa.ChunkedArray[Any], scratch: Path) -> None:
        self._ledger, self._ids, self._scratch = ledger, ids, scratch
        self._names = [ledger.intend(ids, scratch)]
        self._waiting: list[pa.Table] = []
        self._entered: list[pa.Table] = []

    def acknowledge(self, rows: pa.Table) -> None:
        """Take acknowledged rows (LEDGER_SCHEMA); they are entered by `enter`."""
        if rows.num_rows:
            self._waiting.append(rows.cast(LEDGER_SCHEMA))

    def enter(self) -> None:
        """Enter what was acknowledged since the last time."""
        if self._waiting:
            self._names.append(self._ledger.enter(pa.concat_tables(self._waiting), self._scratch))
            self._entered += self._waiting
            self._waiting = []

    def close(self) -> None:
        """Enter the rest, and put one entry in the place of all."""
        self.enter()
        if len(self._names) == 1:
            return
        entered = pa.concat_tables(self._entered)
        left = self._ids.filter(pc.invert(pc.is_in(self._ids, entered["id"].combine_chunks())))
        self._ledger.enter(pa.concat_tables([rows_of_ids(left), entered]), self._scratch)
        self._ledger.withdraw(self._names)


def rows_of_ids(ids: pa.Array[Any] | pa.ChunkedArray[Any], *, deleted: bool = False) -> pa.Table:
    """Return ledger rows (LEDGER_SCHEMA) of ids that were deleted, or of which the index may hold any state."""
    nothing = pa.nulls(len(ids), pa.string())
    return pa.table([ids, nothing, nothing, pa.array([deleted] * len(ids), pa.bool_())], schema=LEDGER_SCHEMA)


def last_epoch(store: Store, paths: IndexPaths) -> int:
    """Return the epoch of the newest entry of a ledger, 0 where there is none."""
    names = [name for folder in (paths.ledger, paths.rejected) for name in only(ENTRY, store.names(folder))]
    return max(map(_epoch, names), default=0)


def _epoch(name: str) -> int:
    return int(name.removeprefix(SNAPSHOT).split("-")[0])
