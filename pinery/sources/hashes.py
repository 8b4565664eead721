"""Content hashes remembered between listings, so that only files whose size or mtime moved are read again."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

_CHUNK = 1024 * 1024
# A file that is still being written may change again within the clock tick of its mtime: not remembered until it rests.
_REST_NS = 2_000_000_000
_BATCH = 1000


def content_version(file: BinaryIO) -> str:
    """The version of the bytes that are left in `file`: `sha256:<hex>`."""
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


class HashCache:
    """Versions by path and stat, in one SQLite file; to be used as a context manager, from one thread."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "hashes.sqlite"
        try:
            self._db = _open(self._file)
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)
        self._fresh: list[tuple[bytes, str, str]] = []

    def get(self, path: str, stat: str) -> str | None:
        """The version that the file had when its stat was `stat`, if remembered."""
        try:
            row = self._db.execute(
                "SELECT version FROM hashes WHERE path = ? AND stat = ?", (os.fsencode(path), stat)
            ).fetchone()
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)
            return None
        return None if row is None else str(row[0])

    def put(self, path: str, stat: str, mtime_ns: int, version: str) -> None:
        """Remember a version, unless the file changed within the last two seconds."""
        if time.time_ns() - mtime_ns < _REST_NS:
            return
        self._fresh.append((os.fsencode(path), stat, version))
        if len(self._fresh) >= _BATCH:
            self._write()

    def _write(self) -> None:
        try:
            self._insert()
        except sqlite3.DatabaseError as error:
            self._begin_anew(error)
            self._insert()
        self._fresh.clear()

    def _insert(self) -> None:
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?)", self._fresh)

    def _begin_anew(self, error: sqlite3.DatabaseError) -> None:
        if isinstance(error, sqlite3.OperationalError):
            raise error  # locked or not writable, and so not known to be broken
        self._file.unlink()  # a cache that can't be read is worth no more than none
        self._db = _open(self._file)

    def __enter__(self) -> HashCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write()
        self._db.close()


def _open(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(file, timeout=60)
    db.execute("CREATE TABLE IF NOT EXISTS hashes (path BLOB PRIMARY KEY, stat TEXT, version TEXT)")
    return db
