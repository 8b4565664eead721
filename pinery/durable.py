"""Files that are on the disk once they are written: as a whole or not at all, even after a power cut."""

import os
import uuid
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Write a small file, in place of any file of that name. Raises OSError where the disk can't take it."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(data)
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Give a finished file the name `path`. Raises OSError where the disk can't take it."""
    sync_path(temporary)
    temporary.replace(path)
    sync_path(path.parent)


def sync_path(path: Path) -> None:
    """Sync a file's bytes, or the names in a folder, to the disk. Raises OSError where that fails."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
