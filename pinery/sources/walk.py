"""Walks over the files below a folder, without what is left out, and never round in circles."""

import errno
import os
import stat as modes
from collections.abc import Callable, Iterator

from pinery.errors import TransientError
from pinery.sources.selection import TOO_LONG, LeftOut, Selection
from pinery.sources.versions import File

LINKS = "links that lead out of the folder"


class Walk:
    """The files below `root` that `select` lists, with their stat; all others are counted in `left_out`."""

    def __init__(self, root: str, select: Selection, left_out: LeftOut, unreadable: Callable[[str], None]) -> None:
        """Visit nothing yet; `unreadable` is called with each path that may not be read."""
        self._root, self._select, self._left_out, self._unreadable = root, select, left_out, unreadable
        self._prefix = len(root.rstrip(os.sep)) + 1
        self._root_stat = os.stat(root)

    def files(self) -> Iterator[File]:
        """Yield each file once, sorted by name within each folder.

        Raises OSError, and TransientError where the root went away.
        """
        yield from self._folder(self._root, (_of(self._root_stat),), through_link=False)
        self.check_root()

    def _folder(self, folder: str, above: tuple[tuple[int, int], ...], through_link: bool) -> Iterator[File]:
        for entry in _one_by_one(self._entries(folder)):
            key = entry.path[self._prefix :]
            try:
                if self._is_left_out(entry, key):
                    continue
                stat = entry.stat()
            except FileNotFoundError:
                self.check_root()
                continue  # a link to nothing, or gone since
            except PermissionError:
                if entry.is_symlink():
                    self._unreadable(entry.path)
                    continue
                self._unreadable(folder)  # whose names may be read, and nothing behind any of them
                return
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENAMETOOLONG):
                    raise
                if error.errno == errno.ENAMETOOLONG:
                    self._left_out.count(TOO_LONG)
                continue
            if modes.S_ISDIR(stat.st_mode):
                # Below a link to a folder no further one is followed: links among folders would multiply.
                if entry.is_symlink() and (through_link or _of(stat) in above):
                    continue
                inside_link = through_link or entry.is_symlink()
                yield from self._folder(entry.path, (*above, _of(stat)), inside_link)
            elif modes.S_ISREG(stat.st_mode):
                yield File(key, entry.path, stat)

    def _is_left_out(self, entry: os.DirEntry[str], key: str) -> bool:
        if entry.is_symlink() and not is_inside(os.path.realpath(entry.path), self._root):
            kind: str | None = LINKS
        elif entry.is_dir():
            kind = self._select.leaves_out_folder(key)
        elif entry.is_file() or entry.name.startswith("."):
            kind = self._select.leaves_out(key)
        else:
            return False
        if kind is not None:
            self._left_out.count(kind)
        return kind is not None

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            self.check_root()
        except PermissionError:
            self._unreadable(folder)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            self._left_out.count(TOO_LONG)
        return []

    def check_root(self) -> None:
        """Raise TransientError where the root is not the folder any more that the walk began with.

        A file or folder gone from the tree is fine; a tree that was unmounted midway would read as everything deleted.
        """
        if identity(self._root) != _of(self._root_stat):
            raise TransientError(f"folder {self._root} went away while it was listed; mount it and run again")


def _one_by_one(entries: list[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
    """Yield each entry and forget it, with the path and stat that it keeps, before the next: there may be millions."""
    entries.reverse()
    while entries:
        yield entries.pop()


def is_inside(path: str, root: str) -> bool:
    """Return whether an absolute path is `root` or below it."""
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def identity(path: str) -> tuple[int, int] | None:
    """Return what tells the file or folder at `path` from any other that may come to lie there; None if there is none.

    Where a share was unmounted, nothing is there, or another folder.
    """
    try:
        return _of(os.stat(path))
    except OSError:
        return None


def _of(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino
