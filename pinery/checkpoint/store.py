"""The Protocol of what keeps a state, and the kind that keeps it in a local folder; `s3_store` is the other kind."""

import contextlib
import errno
import fcntl
import filecmp
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from pinery.durable import put_in_place, sync_path, write_durably
from pinery.errors import AccessDeniedError, ConflictError, NoRoomError, TerminalError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LISTINGS = 20
"""How often a folder is listed anew because a file of it went away meanwhile."""


class Store(Protocol):
    """Named immutable files, and a few small ones that are replaced by compare-and-swap.

    A write is atomic and durable when the call returns. Where it raises, it may have taken effect all the same: the
    same call again then succeeds, as a file with the very content that was to be written is no conflict. Methods raise
    `TransientError`, `AccessDeniedError` or `TerminalError` for what the storage answers.
    """

    root: str

    def read(self, name: str) -> tuple[bytes, str] | None:
        """Return a small file's bytes and its tag (which changes with every write), or None."""

    def replace(self, name: str, data: bytes, tag: str | None) -> str:
        """Write a small file and return its new tag.

        Raises ConflictError where the file doesn't have `tag` any more, or exists although `tag` is None.
        """

    def write(self, name: str, data: bytes) -> None:
        """Write a small file, whatever was there."""

    def publish(self, name: str, path: Path) -> None:
        """Make the finished local file `path` appear as `name`. Raises ConflictError where the name is taken."""

    def move(self, name: str, to: str) -> None:
        """Make the immutable file `name` appear as `to` and not as `name` any more; its bytes don't pass through here.

        Raises ConflictError where `to` is taken, TerminalError where there is no `name`.
        """

    def names(self, folder: str) -> list[str]:
        """Return the names of the files directly in `folder`, sorted; empty where it doesn't exist."""

    def tags(self, folder: str) -> dict[str, str]:
        """Return the files directly in `folder` by name, each with a tag that no other content of that name has had."""

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the files directly in `folder` by name, each with its bytes."""

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders directly in `folder`, sorted; empty where it doesn't exist."""

    def delete(self, name: str) -> None:
        """Remove a file; a missing one is no error."""

    def clear(self, folder: str) -> None:
        """Remove the files directly in `folder`, whole or half written; a missing folder is no error."""

    def open(self, name: str) -> BinaryIO:
        """Return an immutable file for random access."""

    def local(self, name: str) -> Path:
        """Return a local path to an immutable file, copied into the cache folder once where the store is remote."""

    def scratch(self, name: str) -> Path:
        """Create and return a local folder for files in the making."""

    def cache(self, name: str) -> Path:
        """Create and return a local folder for what can be derived again."""


class LocalStore:
    """State in a local folder."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self._root = root
        self._unsure: dict[str, str] = {}
        """The tag of what this store last tried to write under a name, where the answer was an error."""

    def read(self, name: str) -> tuple[bytes, str] | None:
        """See Store."""
        try:
            data = (self._root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return data, hashlib.sha256(data).hexdigest()

    def replace(self, name: str, data: bytes, tag: str | None) -> str:
        """See Store."""
        path, new = self._root / name, hashlib.sha256(data).hexdigest()
        with self._writing(path), _locked(path.with_name(f".{path.name}.lock")):
            current = self.read(name)
            found = current[1] if current else None
            # A write that failed after its rename is on the disk, and it is this store's own.
            if found != tag and found not in (new, self._unsure.get(name, tag)):
                raise ConflictError(f"{path} was written by another run")
            self._unsure[name] = new
            write_durably(path, data)
            del self._unsure[name]
        return new

    def write(self, name: str, data: bytes) -> None:
        """See Store."""
        path = self._root / name
        with self._writing(path):
            write_durably(path, data)

    def publish(self, name: str, path: Path) -> None:
        """See Store."""
        target = self._root / name
        with self._writing(target):
            sync_path(path)
            try:
                os.link(path, target)
            except FileExistsError:
                if not filecmp.cmp(path, target, shallow=False):  # else an earlier attempt, whose answer was an error
                    raise ConflictError(f"{target} exists already") from None
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EXDEV, errno.EMLINK):
                    raise
                _copy_atomically(path, target)
            sync_path(target.parent)
            path.unlink()

    def move(self, name: str, to: str) -> None:
        """See Store."""
        path = self._root / name
        if not path.is_file():
            raise TerminalError(f"{path} does not exist")
        self.publish(to, path)

    def names(self, folder: str) -> list[str]:
        """See Store."""
        return sorted(self.tags(folder))

    def tags(self, folder: str) -> dict[str, str]:
        """See Store."""
        return {name: f"{found.st_size}-{found.st_mtime_ns}" for name, found in self._files(folder).items()}

    def sizes(self, folder: str) -> dict[str, int]:
        """See Store."""
        return {name: found.st_size for name, found in self._files(folder).items()}

    def folders(self, folder: str) -> list[str]:
        """See Store."""
        return sorted(entry.name for entry in self._entries(folder) if entry.is_dir())

    def _files(self, folder: str) -> dict[str, os.stat_result]:
        for _ in range(LISTINGS):
            try:
                return {entry.name: entry.stat() for entry in self._entries(folder) if entry.is_file()}
            except FileNotFoundError:
                # A run removed a file just now. To leave it out isn't enough: what took its place may be missing too.
                continue
        raise TerminalError(f"{self._root / folder} lost a file each of the {LISTINGS} times that it was listed")

    def _entries(self, folder: str) -> list[os.DirEntry[str]]:
        try:
            found = list(os.scandir(self._root / folder))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [entry for entry in found if not entry.name.startswith(".")]

    def delete(self, name: str) -> None:
        """See Store."""
        (self._root / name).unlink(missing_ok=True)

    def clear(self, folder: str) -> None:
        """See Store."""
        shutil.rmtree(self._root / folder, ignore_errors=True)

    def open(self, name: str) -> BinaryIO:
        """See Store."""
        try:
            return (self._root / name).open("rb")
        except FileNotFoundError:
            raise TerminalError(f"{self._root / name} does not exist") from None

    def local(self, name: str) -> Path:
        """See Store."""
        return self._root / name

    def scratch(self, name: str) -> Path:
        """See Store."""
        return self._made(self._root / ".scratch" / name)

    def cache(self, name: str) -> Path:
        """See Store."""
        return self._made(self._root / ".cache" / name)

    def _made(self, path: Path) -> Path:
        with self._writing(path):
            path.mkdir(parents=True, exist_ok=True)
        return path

    @contextlib.contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield
        except PermissionError as error:
            raise AccessDeniedError(
                f"can't write {path}: {error.strerror}; check the owner of the state folder"
            ) from error
        except OSError as error:
            if is_full(error):
                raise NoRoomError(
                    f"can't write {path}: {error.strerror}; nothing of it was published, make room there"
                ) from error
            raise TerminalError(f"can't write {path}: {error.strerror}; nothing of it was published") from error


def is_full(error: BaseException) -> bool:
    """Return whether an error says that a disk, a quota or a limit on files is used up."""
    words = str(error)  # DuckDB and SQLite have no other sign of it
    by_number = isinstance(error, OSError) and error.errno in FULL
    said = ("disk is full", "disk I/O error", *map(os.strerror, FULL))
    return by_number or any(one in words for one in said)


def _copy_atomically(path: Path, target: Path) -> None:
    # The filesystem has no hard links (or the scratch folder is on another one): one writer holds the lease,
    # so the check and the rename need not be one step.
    if target.exists():
        if not filecmp.cmp(path, target, shallow=False):
            raise ConflictError(f"{target} exists already")
        return
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        shutil.copyfile(path, temporary)
        put_in_place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
