"""Local copies of the state's Parquet files, checked before anybody reads them."""

from __future__ import annotations

from pathlib import Path

from pinery.checkpoint.store import Store
from pinery.parquet.checksums import check_file


def whole(store: Store, name: str, columns: list[str] | None = None) -> Path:
    """Return a local path to a Parquet file of the state, checked: all of it, or what readers of `columns` see.

    Raises DamagedError, and TerminalError where it is gone.
    """
    path = store.local(name)
    check_file(path, f"{store.root}/{name}", columns)
    return path
