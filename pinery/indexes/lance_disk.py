"""What Lance wrote is brought to the disk here: Lance leaves that to the operating system, and a power cut may come."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

Entry = tuple[int, int]


class Disk:
    """The files below one folder, and which of them are known to be on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, dict[str, Entry]] = {}

    def sync(self) -> None:
        """Return when all files below the folder are on the disk, and the names of all files and folders are too.

        The first call looks at every file, for a process that died may have left some; later ones at what is new.
        Raises OSError where the disk can't take them.
        """
        known = self._seen
        self._seen = {}
        try:
            self._sync(str(self._folder), known)
            if not known:
                for above in self._folder.parents[:3]:  # the index, all indexes, the state
                    sync_path(above)
        except BaseException:
            self._seen = {}  # nothing is known any more
            raise

    def _sync(self, folder: str, known: dict[str, dict[str, Entry]]) -> None:
        try:
            with os.scandir(folder) as entries:
                found = list(entries)
        except FileNotFoundError:
            return
        before, files = known.get(folder), {}
        for entry in found:
            if entry.is_dir(follow_symlinks=False):
                files[entry.name] = (0, 0)
                self._sync(entry.path, known)
                continue
            stat = entry.stat(follow_symlinks=False)
            files[entry.name] = (stat.st_size, stat.st_mtime_ns)
            if before is None or before.get(entry.name) != files[entry.name]:
                sync_path(Path(entry.path))
        if before is None or before.keys() != files.keys():
            sync_path(Path(folder))
        self._seen[folder] = files


def sync_path(path: Path) -> None:
    """Return when a file's bytes, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, text: str) -> None:
    """Make a small file appear whole, on the disk, in the place of any other of its name."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_path(path.parent)
