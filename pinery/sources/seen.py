"""The memory of files between listings: how each looked, the hash of its bytes, and the version it was given."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

_CHUNK = 1024 * 1024
# A file that is still being written may change again within the clock tick of its mtime: not remembered until it rests.
_REST_NS = 2_000_000_000
_BATCH = 1000
_LAYOUT = 2

_log = logging.getLogger(__name__)


def content_hash(file: BinaryIO) -> str:
    """Return the SHA-256 in hex of the bytes that are left in `file`."""
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


class Sight(NamedTuple):
    """The looks of a file when it was seen last."""

    change: str
    """Its ctime and inode."""
    sha256: str | None
    """The SHA-256 of its bytes in hex, or None if they were not read."""
    version: str


class Seen:
    """Sights by key and stat, in one SQLite file; to be used as a context manager, from one thread.

    If the SQLite file can't be read or written, a warning says so and nothing is remembered: that only costs time.
    """

    def __init__(self, folder: Path | None) -> None:
        """Open the SQLite file in `folder`; without a folder nothing is remembered."""
        self._fresh: list[tuple[bytes, str, str, str | None, str]] = []
        self._db: sqlite3.Connection | None = None
        self._file = None if folder is None else folder / "hashes.sqlite"
        if self._file is None:
            return
        try:
            self._db = _open(self._file)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
            if not isinstance(error, sqlite3.OperationalError | OSError):  # it was spoilt, and is gone now
                with contextlib.suppress(sqlite3.Error):
                    self._db = _open(self._file)

    def look_up(self, keys: Sequence[str]) -> dict[tuple[str, str], Sight]:
        """Return how these files were seen last, by key and by the size and mtime that they had."""
        if self._db is None:
            return {}
        marks = ",".join("?" * len(keys))
        query = f"SELECT path, stat, change, sha256, version FROM hashes WHERE path IN ({marks})"
        try:
            rows = self._db.execute(query, [os.fsencode(key) for key in keys]).fetchall()
        except sqlite3.Error as error:
            self._give_up(error)
            return {}
        return {(os.fsdecode(path), stat): Sight(*sight) for path, stat, *sight in rows}

    def put(self, key: str, stat: str, sight: Sight) -> None:
        """Remember how a file was seen."""
        self._fresh.append((os.fsencode(key), stat, sight.change, sight.sha256, sight.version))
        if len(self._fresh) >= _BATCH:
            self._write()

    def _write(self) -> None:
        try:
            if self._db is not None:
                with self._db:
                    self._db.executemany("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?, ?)", self._fresh)
        except sqlite3.Error as error:
            self._give_up(error)
        self._fresh.clear()

    def _give_up(self, error: Exception) -> None:
        _log.warning("%s can't be used (%s): this listing does without it", self._file, error)
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None
        # Locked or not writable is not spoilt; anything else is, and worth no more than none.
        if self._file is not None and not isinstance(error, sqlite3.OperationalError | OSError):
            self._file.unlink(missing_ok=True)

    def __enter__(self) -> Seen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write()
        if self._db is not None:
            self._db.close()


def at_rest(mtime_ns: int) -> bool:
    """Return whether a file last changed long enough ago for its mtime to tell the next change."""
    return time.time_ns() - mtime_ns >= _REST_NS


def _open(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(file, timeout=60)
    [(layout,)] = db.execute("PRAGMA user_version")
    if layout != _LAYOUT:
        db.executescript(
            "DROP TABLE IF EXISTS hashes;"
            "CREATE TABLE hashes (path BLOB, stat TEXT, change TEXT, sha256 TEXT, version TEXT,"
            f" PRIMARY KEY (path, stat)) WITHOUT ROWID; PRAGMA user_version = {_LAYOUT};"
        )
    return db
