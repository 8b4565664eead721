"""Files that are put into a folder and taken out of it: nothing is overwritten, and nothing outside is touched."""

from __future__ import annotations

import contextlib
import errno
import os
import stat as modes
import uuid
from collections.abc import Iterator
from pathlib import Path

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def add_file(root: str, name: str, data: bytes) -> None:
    """Write a file into a folder: whole and on the disk, or not at all.

    Until it is whole it has a hidden name, which no listing takes. Raises FileExistsError where the name is taken, and
    OSError where the folder is gone or can't take it.
    """
    with _opened(os.path.realpath(root)) as folder:
        temporary = f".pinery-{uuid.uuid4().hex}.part"
        try:
            file = os.open(temporary, NEW, 0o666, dir_fd=folder)
            with open(file, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            _name(temporary, name, folder)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
        os.fsync(folder)


def delete_file(root: str, path: str) -> None:
    """Delete the file `path`, which is below a folder; of a symbolic link, the link alone.

    Raises FileNotFoundError where it is gone, PermissionError where it is outside, and other OSErrors.
    """
    inside = os.path.realpath(root)
    above, name = os.path.split(path)
    real = os.path.realpath(above)
    if real != inside and not real.startswith(inside.rstrip(os.sep) + os.sep):
        raise PermissionError(errno.EPERM, "leads out of the folder", path)
    with _opened(inside, Path(real).relative_to(inside).parts) as folder:
        stat = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not (modes.S_ISREG(stat.st_mode) or modes.S_ISLNK(stat.st_mode)):
            raise PermissionError(errno.EPERM, "is no file", path)
        os.unlink(name, dir_fd=folder)
        os.fsync(folder)


@contextlib.contextmanager
def _opened(root: str, below: tuple[str, ...] = ()) -> Iterator[int]:
    """Open a folder, and folders below it one by one, so that none of them becomes a link meanwhile."""
    folder = os.open(root, FOLDER)
    try:
        for name in below:
            inner = os.open(name, FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


def _name(temporary: str, name: str, folder: int) -> None:
    """Give a finished file its name, which nothing else may have."""
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        os.close(os.open(name, NEW, dir_fd=folder))  # a file system without hard links: the name is taken first
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
