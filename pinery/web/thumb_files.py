"""Thumbnails on disk, up to a number of bytes; what was used longest ago goes first.

Of the well-kept libraries none fits: diskcache has had no release since 2023, and unpickles what lies on the disk.
Files by name and their times are all that is needed, and several servers may share a folder.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import uuid
from pathlib import Path

LIMIT = 1 << 30
"""Bytes of thumbnails that are kept, about a hundred thousand."""
LEFT = 0.9
"""The share of the limit that is left when room is made."""
TOUCHED_SECONDS = 3600.0
"""A file that was used so recently isn't marked as used again."""


class ThumbFiles:
    """A folder of small files by name. Safe to use from several threads; a disk that fails costs only the keeping."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        """Count what the folder holds when something is first written."""
        self._folder, self._limit = folder, limit
        self._lock = threading.Lock()
        self._bytes: int | None = None

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, None where it isn't kept."""
        path = self._path(name)
        try:
            data = path.read_bytes()
            if time.time() - path.stat().st_mtime > TOUCHED_SECONDS:
                os.utime(path)
        except OSError:
            return None
        return data or None

    def write(self, name: str, data: bytes) -> None:
        """Keep a file, and make room for it if need be."""
        path = self._path(name)
        temporary = path.with_name(f".{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            return
        with self._lock:
            if self._bytes is not None:
                self._bytes += len(data)
            if self._bytes is None or self._bytes > self._limit:
                self._make_room()

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def _make_room(self) -> None:
        found = []
        for path in self._folder.glob("*/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in found)
        if total > self._limit:
            for _, size, path in sorted(found):
                if total <= LEFT * self._limit:
                    break
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                    total -= size
        self._bytes = total
