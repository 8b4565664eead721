"""Which image bytes have a vector already: a local table from SHA-256 to the row that holds it."""

from __future__ import annotations

import sqlite3
import threading

import numpy as np
import numpy.typing as npt

from pinery.checkpoint.parquet import stream
from pinery.checkpoint.parts import Checkpoint


class KnownBytes:
    """Looks vectors up by content; the table is derived from the parts and grows by what is new since last time.

    It lives on disk, so that its memory doesn't grow with the checkpoint. Deleting its file costs only time.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._lock = threading.Lock()
        path = checkpoint.store.cache(checkpoint.folder) / "known.sqlite"
        self._table = sqlite3.connect(path, check_same_thread=False)
        self._table.execute("PRAGMA synchronous = OFF")
        self._table.executescript(
            "CREATE TABLE IF NOT EXISTS parts (part TEXT PRIMARY KEY) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS known (sha256 BLOB PRIMARY KEY, part TEXT, row INTEGER) WITHOUT ROWID;"
        )

    def refresh(self) -> None:
        """Take in the parts published since the last refresh, and forget the table if a part it names is gone."""
        published = self._checkpoint.names()
        with self._lock:
            seen = {part for (part,) in self._table.execute("SELECT part FROM parts")}
            if not seen <= set(published):
                self._table.executescript("DELETE FROM parts; DELETE FROM known;")
                seen = set()
            for part in published:
                if part not in seen:
                    self._absorb(part)

    def values(self, sha256: str) -> npt.NDArray[np.float32] | None:
        """The float32 vector of an image with these bytes, or None."""
        with self._lock:
            found = self._table.execute(
                "SELECT part, row FROM known WHERE sha256 = ?", (bytes.fromhex(sha256),)
            ).fetchone()
        if found is None:
            return None
        return self._checkpoint.values(*found)

    def close(self) -> None:
        """Let go of the table's file."""
        self._table.close()

    def _absorb(self, part: str) -> None:
        row = 0
        for batch in stream(self._checkpoint.key_file(part), ["sha256", "error"], 16384):
            rows = [
                (bytes.fromhex(sha256), part, row + offset)
                for offset, (sha256, error) in enumerate(zip(*batch.to_pydict().values(), strict=True))
                if error is None
            ]
            row += batch.num_rows
            self._table.executemany("INSERT OR IGNORE INTO known VALUES (?, ?, ?)", rows)
        self._table.execute("INSERT INTO parts VALUES (?)", (part,))
        self._table.commit()
