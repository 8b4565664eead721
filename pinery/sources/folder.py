"""A folder of images, read recursively."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import stat as modes
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, unquote_to_bytes

from pinery.config import FolderSource
from pinery.errors import AccessDeniedError, ConfigError, MovedError, TransientError
from pinery.records import Item
from pinery.sources.hashes import HashCache, content_version
from pinery.sources.metadata import Describer
from pinery.sources.protocol import check_size

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")

_log = logging.getLogger(__name__)


class Folder:
    """The images below one folder; hidden files and folders are left out.

    A symbolic link is followed where its target is inside the folder too. The key of an item is its POSIX path
    relative to the folder.
    """

    def __init__(self, settings: FolderSource, cache: Path | None = None) -> None:
        """`cache` is a folder that keeps content hashes between listings; without it every listing hashes every file.

        Raises ConfigError where the sidecar can't be used.
        """
        self._root = os.path.realpath(settings.path)
        self._by_content = settings.version == "content"
        self._cache = cache
        self._describe = Describer(settings)

    def check(self) -> None:
        """Raise ConfigError where the folder does not exist or is no folder, AccessDeniedError where it is closed."""
        try:
            os.scandir(self._root).close()
        except FileNotFoundError:
            raise ConfigError(f"folder {self._root} does not exist; correct `source.path`, or mount it") from None
        except NotADirectoryError:
            raise ConfigError(f"{self._root} is no folder; `source.path` must be the folder of the images") from None
        except OSError as error:
            _fail(error, self._root)

    def list_items(self) -> Iterator[Item]:
        """Every image, sorted by name within each folder. Raises as `check` does, and TransientError."""
        self.check()
        with contextlib.ExitStack() as stack:
            hashes = stack.enter_context(HashCache(self._cache)) if self._by_content and self._cache else None
            for path, stat in _Walk(self._root).files():
                try:
                    version = self._content(path, stat, hashes) if self._by_content else _stat_version(stat)
                except FileNotFoundError:
                    continue  # gone since the walk saw it
                except OSError as error:
                    _fail(error, path)
                id, metadata = self._describe(path[len(self._root) :].replace(os.sep, "/").lstrip("/"))
                yield Item(id, file_uri(path), version, stat.st_size, metadata)

    def fetch(self, uri: str, version: str, max_bytes: int) -> bytes:
        """The file's bytes; see `Source.fetch`."""
        path = os.fsdecode(unquote_to_bytes(uri.removeprefix("file://")))
        try:
            if not _is_inside(os.path.realpath(path), self._root):
                raise MovedError(f"{path} leads out of the folder {self._root}")
            return self._read(path, version, max_bytes)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise MovedError(f"{path} is no longer there") from None
        except OSError as error:
            _fail(error, path)

    def _read(self, path: str, version: str, max_bytes: int) -> bytes:
        # Opened without blocking, because a pipe may stand there now.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            before = os.fstat(file.fileno())
            changed = MovedError(f"{path} changed since it was listed")
            if not modes.S_ISREG(before.st_mode) or (not self._by_content and _stat_version(before) != version):
                raise changed
            if before.st_size > max_bytes and self._by_content and content_version(file) != version:
                raise changed
            check_size(before.st_size, max_bytes)
            data = file.read(max_bytes + 1)
            after = os.fstat(file.fileno())
            if _stat_version(after) != _stat_version(before) or len(data) != before.st_size:
                raise changed
            if self._by_content and content_version(io.BytesIO(data)) != version:
                raise changed
        return data

    def _content(self, path: str, stat: os.stat_result, hashes: HashCache | None) -> str:
        seen = _stat_version(stat)
        known = hashes.get(path, seen) if hashes else None
        if known is not None:
            return known
        with open(path, "rb") as file:
            version = content_version(file)
        if hashes:
            hashes.put(path, seen, stat.st_mtime_ns, version)
        return version


class _Walk:
    """The image files below a folder, with their stat."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._identity = _identity(os.stat(root))
        self._left_out = 0

    def files(self) -> Iterator[tuple[str, os.stat_result]]:
        yield from self._folder(self._root, (self._identity,), through_link=False)
        if self._left_out:
            _log.warning("%s: %d links that lead out of the folder are left out", self._root, self._left_out)

    def _folder(
        self, folder: str, above: tuple[tuple[int, int], ...], through_link: bool
    ) -> Iterator[tuple[str, os.stat_result]]:
        for entry in self._entries(folder):
            try:
                if entry.is_symlink() and not self._stays_inside(entry.path):
                    continue
                stat = entry.stat()
            except FileNotFoundError:
                continue  # a link to nothing, or gone since
            except OSError as error:
                if error.errno == errno.ELOOP:
                    continue  # a link to itself
                _fail(error, entry.path)
            if modes.S_ISDIR(stat.st_mode):
                # Below a link to a folder no further one is followed: links among folders would multiply.
                if entry.is_symlink() and (through_link or _identity(stat) in above):
                    continue
                inside_link = through_link or entry.is_symlink()
                yield from self._folder(entry.path, (*above, _identity(stat)), inside_link)
            elif modes.S_ISREG(stat.st_mode) and entry.name.lower().endswith(EXTENSIONS):
                yield entry.path, stat

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
        except FileNotFoundError:
            self._check_root()
            return []
        except OSError as error:
            _fail(error, folder)

    def _check_root(self) -> None:
        # A folder gone from the tree is fine; a tree that was unmounted midway would read as everything deleted.
        try:
            if _identity(os.stat(self._root)) == self._identity:
                return
        except OSError:
            pass
        raise TransientError(f"folder {self._root} went away while it was listed; mount it and run again")

    def _stays_inside(self, link: str) -> bool:
        inside = _is_inside(os.path.realpath(link), self._root)
        self._left_out += not inside
        return inside


def file_uri(path: str) -> str:
    """The `file://` URI of an absolute path, percent-encoded byte by byte."""
    return "file://" + quote(os.fsencode(path))


def _stat_version(stat: os.stat_result) -> str:
    return f"{stat.st_size}-{stat.st_mtime_ns}"


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino


def _is_inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def _fail(error: OSError, path: str) -> NoReturn:
    if isinstance(error, PermissionError):
        raise AccessDeniedError(f"{path} may not be read by this user ({error.strerror}); correct its mode") from None
    raise TransientError(f"{path} can't be read now: {error.strerror or error}") from error
