"""The empty database of a Prefect server, which is migrated once for all workers of a session."""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock


@contextlib.contextmanager
def migrated_once(folder: Path, database: Path) -> Iterator[None]:
    """Put a copy of the migrated database in `folder` at the path `database`, for the server that is started inside.

    Where there is none yet, that server makes one, which is kept in `folder`; others wait until then.
    """
    import prefect

    template = folder / f"prefect-{prefect.__version__}.db"
    with FileLock(folder / "prefect.lock"):
        if not template.exists():
            yield
            _keep(database, template)
            return
    shutil.copy(template, database)
    yield


def keep_migrated(database: Path, folder: Path) -> None:
    """Keep a database that a command has made in `folder`, under the same name, if there is none."""
    template = folder / database.name
    if not template.exists():
        _keep(database, template)


def _keep(database: Path, template: Path) -> None:
    making = template.with_suffix(f".{os.getpid()}")
    with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(making)) as target:
        source.backup(target)
    making.replace(template)
