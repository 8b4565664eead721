"""The local cache of states on S3: copies of their files, and what is derived from them, bounded in bytes.

`<cache>/<state id>/files` has the copies, `derived` what is derived, `scratch` the files of runs under way. A state's
folder is named by the state's id, as two endpoints may have states of one address. Using a file sets its mtime.
"""

import fcntl
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from pinery.durable import put_in_place

STATE_FOLDER = re.compile("[0-9a-f]{16}|[0-9a-f]{32}|new-[0-9a-f]{16}")
"""Earlier versions named the folders by 16 digits."""
EVICTABLE = ("files", "derived")
IN_USE = ".in-use"
RECENT = 3600.0
"""The seconds for which a process may go on reading a file that it asked for."""


class StateCache:
    """The folder of one state in the cache; may be used by many threads.

    Over `limit` bytes in all states' folders, what was used longest ago goes. What this process has used stays, and so
    does what was used in the last hour in a folder that another process has open.
    """

    def __init__(self, root: Path, state: str, limit: int) -> None:
        self.name = state
        self._root, self._folder, self._limit = root, root / state, limit
        self._folder.mkdir(parents=True, exist_ok=True)
        self._since = time.time() - 1  # a file system's clock may be a little behind
        self._lock = (self._folder / IN_USE).open("ab")
        _lock(self._lock, fcntl.LOCK_SH)  # until the process ends
        self._bytes = 0
        self._make_room()

    def copy(self, name: str, tag: str, download: Callable[[BinaryIO], None], *, anew: bool = False) -> Path:
        """Return the copy of a file with the content `tag`; it is made if it is absent, or always with `anew`."""
        path = self._folder / "files" / f"{name}.{tag}"
        if not anew:
            try:
                os.utime(path)
            except FileNotFoundError:
                pass
            else:
                return path
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{uuid.uuid4().hex}")
        try:
            with temporary.open("wb") as handle:
                download(handle)
            put_in_place(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        self._bytes += path.stat().st_size
        if self._bytes > self._limit:
            self._make_room()
        return path

    def forget_others(self, folder: str, tags: dict[str, str]) -> None:
        """Remove copies of what is no longer in `folder` of the state, which has `tags` by name."""
        current = {f"{name}.{tag}" for name, tag in tags.items()}
        place = self._folder / "files" / folder
        copies = [path for path in place.iterdir() if path.is_file()] if place.is_dir() else []
        stale = [path for path in copies if path.name not in current]
        if stale:
            others = self._others_use(self._folder)
            for path in stale:
                if self._may_go(path, others):
                    path.unlink(missing_ok=True)

    def derived(self, name: str) -> Path:
        """Create and return a folder for what is derived."""
        return _made(self._folder / "derived" / name)

    def scratch(self, name: str) -> Path:
        """Create and return a folder for files in the making."""
        return _made(self._folder / "scratch" / name)

    def _make_room(self) -> None:
        """Remove what was used longest ago until no more than the limit is held, as far as it may go."""
        folders = [path for path in self._root.iterdir() if STATE_FOLDER.fullmatch(path.name) and path.is_dir()]
        found = [
            (status.st_mtime, status.st_size, path, folder)
            for folder in folders
            for kind in EVICTABLE
            for path, status in _with_status(path for path in (folder / kind).rglob("*") if path.is_file())
        ]
        self._bytes = sum(size for _, size, _, _ in found)
        if self._bytes <= self._limit:
            return
        in_use = {folder: self._others_use(folder) for folder in folders}
        for _, size, path, folder in sorted(found):
            if self._bytes <= self._limit:
                break
            if self._may_go(path, in_use[folder]):
                path.unlink(missing_ok=True)
                self._bytes -= size

    def _may_go(self, path: Path, others: bool) -> bool:
        try:
            used = path.stat().st_mtime
        except FileNotFoundError:
            return False
        mine = path.is_relative_to(self._folder) and used >= self._since
        return not mine and not (others and used > time.time() - RECENT)

    def _others_use(self, folder: Path) -> bool:
        """Return whether another process has the folder open, or may have it open."""
        if folder != self._folder:
            with (folder / IN_USE).open("ab") as lock:
                return not _lock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = _lock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _lock(self._lock, fcntl.LOCK_SH)
        return not alone


def _lock(file: BinaryIO, how: int) -> bool:
    try:
        fcntl.flock(file, how)
    except OSError:  # held by others, or the file system knows no locks
        return False
    return True


def _with_status(paths: Iterator[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    for path in paths:
        try:
            yield path, path.stat()
        except FileNotFoundError:
            continue


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
