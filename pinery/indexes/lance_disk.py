"""Syncs to the disk what Lance wrote: Lance leaves that to the operating system, and a power cut would lose it."""

import os
from pathlib import Path

from pinery.durable import sync_path

Entry = tuple[int, int]
"""Size in bytes and time of change in nanoseconds of a file; (0, 0) for a folder."""


class Disk:
    """The files below one folder, and which of them are known to be on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, dict[str, Entry]] = {}

    def sync(self) -> None:
        """Sync all files below the folder, and the names of all files and folders, to the disk.

        The first call syncs every file, because a process that died may have left some; later calls sync what is new.
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
            self._seen = {}  # the next call has to sync everything again
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
