"""Versions of files, which change when a file's bytes change; no more bytes are read for them than have to be."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, NamedTuple

from pinery.sources.protocol import Past
from pinery.sources.seen import Seen, Sight, at_rest, content_hash

MARK = 16
"""The digits of a SHA-256 that mark a version whose bytes replaced others of the same size and mtime."""
AT_ONCE, LOOKED_UP_AT_ONCE = 16384, 500
_NUMBERED_ANEW = ("fuse", "cifs", "smb3", "9p", "vfat", "exfat", "msdos")
"""File systems that give their files other inodes with each mount."""


class File(NamedTuple):
    """One file as the walk found it, and its version once that is known."""

    key: str
    path: str
    stat: os.stat_result
    version: str = ""


def stat_version(stat: os.stat_result) -> str:
    """Return the version that size and mtime make."""
    return f"{stat.st_size}-{stat.st_mtime_ns}"


def mark_of(version: str, stat: os.stat_result) -> str | None:
    """Return the mark of a version by stat, empty if it has none, or None if it is of another size or mtime."""
    base = stat_version(stat)
    if version == base:
        return ""
    return version.removeprefix(f"{base}-") if version.startswith(f"{base}-") else None


def stable_inodes(device: int) -> bool:
    """Return whether the file system of a device keeps its inodes over mounts, as far as Linux tells."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                fields, _, rest = line.partition(" - ")
                if fields.split(" ")[2] == wanted:
                    return not rest.startswith(_NUMBERED_ANEW)
    except OSError:
        pass
    return True


class Versions:
    """Gives files their versions; files that vanished meanwhile are left out.

    `content`: the hash of the bytes, read anew where size, mtime, ctime or inode moved.

    `stat`: size and mtime. Where they stood still and ctime or inode moved, the bytes are compared with those that
    the version is known to have had; only if they are others, the first digits of their hash mark the version from
    then on. The size and mtime of a file that is seen for the first time are believed, unless its ctime is later
    than the last listing.
    """

    def __init__(
        self,
        how: Literal["stat", "content"],
        seen: Seen,
        past: Past,
        id_of: Callable[[str], str],
        unreadable: Callable[[str], None],
        vanished: Callable[[], None],
    ) -> None:
        """Read nothing yet.

        `unreadable` is called with the path of each file that may not be read, and `vanished` for each that is gone
        since it was found: it raises where that says nothing of the file.
        """
        self._how, self._seen, self._past, self._id_of = how, seen, past, id_of
        self._unreadable, self._vanished = unreadable, vanished
        self._marked = past.marked() if how == "stat" else {}
        self._listed_at = past.listed_at() if how == "stat" else 0
        self._inodes: dict[int, bool] = {}

    def give(self, files: Iterable[File]) -> Iterator[File]:
        """Yield the files with their versions, in their order. Raises OSError where one can't be read."""
        looked_up = self._looked_up(iter(files))
        if self._how == "content":
            for file, sight in looked_up:
                yield from self._by_content(file, sight)
            return
        waiting: list[File | _Doubt] = []
        for file, sight in looked_up:
            known = self._by_stat(file, sight)
            if isinstance(known, File) and not waiting:
                yield known
                continue
            waiting.append(known)
            if len(waiting) == AT_ONCE:
                yield from self._settled(waiting)
                waiting = []
        yield from self._settled(waiting)

    def _looked_up(self, files: Iterator[File]) -> Iterator[tuple[File, Sight | None]]:
        while some := list(islice(files, LOOKED_UP_AT_ONCE)):
            sights = self._seen.look_up([file.key for file in some])
            for file in some:
                yield file, sights.get((file.key, stat_version(file.stat)))

    def _by_content(self, file: File, sight: Sight | None) -> Iterator[File]:
        base, change = stat_version(file.stat), self._change(file.stat)
        if sight is not None and sight.change == change:
            yield file._replace(version=sight.version)
            return
        try:
            version = f"sha256:{_hash(file.path)}"
        except (FileNotFoundError, NotADirectoryError):
            self._vanished()
            return
        except PermissionError:
            self._unreadable(file.path)
            return
        if at_rest(file.stat.st_mtime_ns):
            self._seen.put(file.key, base, Sight(change, version.removeprefix("sha256:"), version))
        yield file._replace(version=version)

    def _by_stat(self, file: File, sight: Sight | None) -> File | _Doubt:
        base, change = stat_version(file.stat), self._change(file.stat)
        marked = self._marked.get(self._id_of(file.key), "") if self._marked else ""
        if not marked.startswith(f"{base}-"):
            marked = ""
        if sight is not None and (sight.version != base or not marked):
            if sight.change == change:
                return File(file.key, file.path, file.stat, sight.version)
            return _Doubt(file._replace(version=sight.version), sight.sha256, False)
        if marked:
            return _Doubt(file._replace(version=marked), None, False)
        if 0 < self._listed_at < file.stat.st_ctime_ns:
            return _Doubt(file._replace(version=base), None, True)
        self._seen.put(file.key, base, Sight(change, None, base))
        return File(file.key, file.path, file.stat, base)

    def _settled(self, waiting: list[File | _Doubt]) -> Iterator[File]:
        doubts = [one for one in waiting if isinstance(one, _Doubt)]
        asked = [(self._id_of(doubt.file.key), doubt.file.version) for doubt in doubts]
        sums = self._past.sums(asked) if asked else {}
        of_file = {doubt.file.key: sums.get(pair) for doubt, pair in zip(doubts, asked, strict=True)}
        for one in waiting:
            if isinstance(one, File):
                yield one
                continue
            try:
                yield self._settle(one, of_file[one.file.key])
            except (FileNotFoundError, NotADirectoryError):
                self._vanished()
                continue
            except PermissionError:
                yield one.file  # nothing can be compared, so nothing is said to have changed

    def _settle(self, doubt: _Doubt, recorded: str | None) -> File:
        file, base = doubt.file, stat_version(doubt.file.stat)
        found: str | None = None
        if recorded is not None or not doubt.only_recorded:
            found = _hash(file.path)
            mark = file.version.removeprefix(base).removeprefix("-")
            same = found.startswith(mark) if mark else found == (recorded or doubt.sha256)
            file = file if same else file._replace(version=f"{base}-{found[:MARK]}")
        self._seen.put(file.key, base, Sight(self._change(file.stat), found, file.version))
        return file

    def _change(self, stat: os.stat_result) -> str:
        if stat.st_dev not in self._inodes:
            self._inodes[stat.st_dev] = stable_inodes(stat.st_dev)
        return f"{stat.st_ctime_ns}-{stat.st_ino if self._inodes[stat.st_dev] else 0}"


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A file whose bytes may no longer be those of `file.version`."""

    file: File
    sha256: str | None
    """The SHA-256 of the bytes of that version, or None if this machine didn't read them."""
    only_recorded: bool
    """True where the file is in doubt only if the state knows the bytes of that version."""


def _hash(path: str) -> str:
    with open(path, "rb") as file:
        return content_hash(file)
