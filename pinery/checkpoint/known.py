"""Which image bytes have a vector already: a local table from SHA-256 to the row that holds it."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pinery.checkpoint.parquet import stream
from pinery.checkpoint.parts import Checkpoint


class KnownBytes:
    """Looks vectors up by content; the table is derived from the parts and grows by what is new since last time.

    It lives on disk, so that its memory doesn't grow with the checkpoint. Deleting its file costs only time.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._lock = threading.Lock()
        self._last: tuple[str, int, pa.Table] = ("", 0, pa.table({}))
        path = checkpoint.store.cache(checkpoint.folder) / "known.sqlite"
        self._table = sqlite3.connect(path, check_same_thread=False)
        self._table.execute("PRAGMA synchronous = OFF")
        self._table.executescript(
            "CREATE TABLE IF NOT EXISTS parts (part TEXT PRIMARY KEY) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS known (sha256 BLOB PRIMARY KEY, part TEXT, row INTEGER) WITHOUT ROWID;"
        )

    def refresh(self) -> None:
        """Take in the parts published since the last refresh, and forget the table if a part it names is gone."""
        published = {f"{part} {tag}": part for part, tag in self._checkpoint.tags().items()}
        with self._lock:
            seen = {part for (part,) in self._table.execute("SELECT part FROM parts")}
            if not seen <= published.keys():
                self._table.executescript("DELETE FROM parts; DELETE FROM known;")
                seen = set()
            if new := [name for name in published if name not in seen]:
                files = self._checkpoint.key_files()
                for name in new:
                    self._absorb(name, published[name], files[published[name]])

    def values(self, sha256: str) -> npt.NDArray[np.float32] | None:
        """The float32 vector of an image with these bytes, or None."""
        with self._lock:
            found = self._table.execute(
                "SELECT part, row FROM known WHERE sha256 = ?", (bytes.fromhex(sha256),)
            ).fetchone()
            if found is None:
                return None
            part, row = found
            first, rows = self._rows_around(part, row)
        # The table only says where to look; the row itself says whose vector it is.
        if rows["sha256"][row - first].as_py() != sha256 or not rows["values"][row - first].is_valid:
            return None
        values: Any = rows["values"][row - first]
        return np.asarray(values.values, dtype=np.float32)

    def _rows_around(self, part: str, row: int) -> tuple[int, pa.Table]:
        # Renamed items lie side by side as a rule, so the next one is in the same row group.
        held, first, rows = self._last
        if held != part or not first <= row < first + rows.num_rows:
            first, rows = self._checkpoint.row_group(part, row)
            self._last = (part, first, rows)
        return first, rows

    def close(self) -> None:
        """Let go of the table's file."""
        self._table.close()

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
