"""A folder of images, read recursively."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat as modes
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NoReturn
from urllib.parse import quote, unquote_to_bytes

import pyarrow as pa

from pinery.errors import AccessDeniedError, ConfigError, ItemDeniedError, MovedError, TransientError
from pinery.source_kinds import FolderSource
from pinery.sources.found import Found
from pinery.sources.lister import Lister
from pinery.sources.metadata import Describer
from pinery.sources.protocol import Fetched, NoPast, Past, check_size, read_each
from pinery.sources.seen import Seen, content_hash
from pinery.sources.selection import UNREADABLE, LeftOut, Selection
from pinery.sources.versions import MARK, Versions, mark_of
from pinery.sources.walk import Walk, identity, is_inside

OPENING = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
"""How files are opened: without blocking, because a pipe may stand there now."""


class Folder:
    """The images below one folder; hidden files and folders are left out.

    A symbolic link is followed where its target is inside the folder too. The key of an item is its POSIX path
    relative to the folder.
    """

    def __init__(self, settings: FolderSource, past: Past | None = None) -> None:
        """Read nothing yet; without a `past` that has a cache, every listing by content reads every file."""
        self._root = os.path.realpath(settings.path)
        self._how = settings.version
        self._past = past or NoPast()
        self._select = Selection(settings)
        self._describe = Describer(settings)
        self._lister = Lister(self._describe, self._past)
        self._identity: tuple[int, int] | None = None
        self._closed = ""
        """The first path that the newest listing might not read."""

    @property
    def left_out(self) -> LeftOut:
        """See Source."""
        return self._lister.left_out

    def remarks(self) -> list[str]:
        """See Source."""
        closed = [f"{self._closed} may not be read by this user"] if self._closed else []
        return closed + self._describe.remarks()

    def check(self) -> None:
        """Raise ConfigError where the folder does not exist or is no folder, AccessDeniedError where it is closed."""
        try:
            os.scandir(self._root).close()
        except FileNotFoundError:
            raise ConfigError(f"folder {self._root} does not exist; correct `source.path`, or mount it") from None
        except NotADirectoryError:
            raise ConfigError(f"{self._root} is no folder; `source.path` must be the folder of the images") from None
        except PermissionError as error:
            raise AccessDeniedError(
                f"{self._root} may not be read by this user ({error.strerror}); correct its mode"
            ) from None
        except OSError as error:
            _fail(error, self._root)
        self._identity = identity(self._root)

    def list_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield every image, sorted by name within each folder; see Source. Raises as `check`, and TransientError."""
        self.check()
        return self._lister.batches(self._found())

    def _found(self) -> Iterator[Found]:
        files, self._closed = 0, ""
        closed: deque[str] = deque()
        walk = Walk(self._root, self._select, self.left_out, closed.append)
        with Seen(self._past.cache()) as seen:
            versions = Versions(self._how, seen, self._past, self._describe.id, closed.append, walk.check_root)
            try:
                for file in versions.give(walk.files()):
                    while closed:
                        yield from self._unreadable(closed.popleft())
                    files += 1
                    unread = self._select.undecoded(file.key)
                    yield Found(file.key, file_uri(file.path), file.version, file.stat.st_size, unread=unread)
            except OSError as error:
                _fail(error, error.filename or self._root)
        for path in closed:
            yield from self._unreadable(path)
        if not files and self.left_out.get(UNREADABLE):
            raise AccessDeniedError(
                f"nothing below {self._root} may be read by this user: {self._closed}; correct the modes"
            )

    def _unreadable(self, path: str) -> Iterator[Found]:
        """Yield what the last listing had at `path`: that it may not be read now is no reason to think it gone."""
        self.left_out.count(UNREADABLE)
        self._closed = self._closed or path
        for uri, version, size in self._past.below(file_uri(path)):
            yield Found(_path(uri)[len(self._root) :].lstrip(os.sep), uri, version, size)

    def read(self, items: Sequence[tuple[str, str]], max_bytes: int) -> list[Fetched]:
        """See Source. A folder on the way is followed once for all of its files."""
        real: dict[str, str] = {}
        return read_each(lambda uri, version, most: self._fetch(uri, version, most, real), items, max_bytes)

    def fetch(self, uri: str, version: str, max_bytes: int) -> bytes:
        """Return the file's bytes; see `Source.fetch`."""
        return self._fetch(uri, version, max_bytes, {})

    def _fetch(self, uri: str, version: str, max_bytes: int, real: dict[str, str]) -> bytes:
        path = _path(uri)
        try:
            file = self._open(path, real)
            try:
                return self._read(file, path, version, max_bytes)
            finally:
                os.close(file)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            self._check_root()
            raise MovedError(f"{path} is no longer there") from None
        except BlockingIOError:
            raise MovedError(f"{path} is no file any more") from None
        except OSError as error:
            _fail(error, path)

    def _open(self, path: str, real: dict[str, str]) -> int:
        """Return a descriptor of a file inside the folder; `real` remembers where the folders on the way lead."""
        folder, name = os.path.split(path)
        if folder not in real:
            real[folder] = os.path.realpath(folder)
        leads = os.path.join(real[folder], name)
        try:
            if is_inside(leads, self._root):
                return os.open(leads, OPENING | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EMLINK):
                raise
            leads = os.path.realpath(leads)  # a symbolic link
        if not is_inside(leads, self._root):
            raise MovedError(f"{path} leads out of the folder {self._root}")
        return os.open(leads, OPENING | os.O_NOFOLLOW)

    def _check_root(self) -> None:
        # Where a share was unmounted, nothing is there, or another folder; that says nothing of its files.
        if self._identity is None or identity(self._root) != self._identity:
            if self._identity is None and os.path.isdir(self._root):
                return
            raise TransientError(f"folder {self._root} went away; mount it and run again")

    def _read(self, file: int, path: str, version: str, max_bytes: int) -> bytes:
        by_content = self._how == "content"
        data = os.read(file, (max_bytes if by_content else _listed_size(version, max_bytes)) + 1)
        after = os.fstat(file)
        while len(data) < min(after.st_size, max_bytes) and (more := os.read(file, max_bytes + 1 - len(data))):
            data += more
            after = os.fstat(file)
        if not self._is_as_listed(file, after, data, version, max_bytes):
            raise MovedError(f"{path} changed since it was listed")
        check_size(after.st_size, max_bytes)
        return data

    def _is_as_listed(self, file: int, stat: os.stat_result, data: bytes, version: str, max_bytes: int) -> bool:
        """Return True where the file, of which `data` was read, is the one that was listed with `version`."""
        mark = "" if self._how == "content" else mark_of(version, stat)
        if not modes.S_ISREG(stat.st_mode) or mark is None:
            return False
        whole = stat.st_size <= max_bytes
        if whole and len(data) != stat.st_size:
            return False
        if self._how == "content":
            return version == f"sha256:{content_hash(io.BytesIO(data)) if whole else _hash_of(file)}"
        return not mark or not whole or hashlib.sha256(data).hexdigest()[:MARK] == mark


def _listed_size(version: str, max_bytes: int) -> int:
    """Return the size in bytes that a version by stat names, or `max_bytes` if that is less."""
    size = version.partition("-")[0]
    return min(int(size), max_bytes) if size.isdecimal() else max_bytes


def _hash_of(file: int) -> str:
    with open(file, "rb", closefd=False) as whole:
        whole.seek(0)
        return content_hash(whole)


def file_uri(path: str) -> str:
    """Return the `file://` URI of an absolute path, percent-encoded byte by byte."""
    return "file://" + quote(os.fsencode(path))


def _path(uri: str) -> str:
    return os.fsdecode(unquote_to_bytes(uri.removeprefix("file://")))


def _fail(error: OSError, path: str) -> NoReturn:
    if isinstance(error, PermissionError):
        raise ItemDeniedError(f"{path} may not be read by this user ({error.strerror}); correct its mode") from None
    raise TransientError(f"{path} can't be read now: {error.strerror or error}") from error
