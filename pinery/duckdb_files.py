"""The one place where DuckDB is opened and given a path, in a form that it can't take for anything but a path.

DuckDB takes `[`, `?` and `*` in a path for a pattern, a folder `key=value` for a column, a backslash for a slash, and
what follows a question mark for a query. No setting turns all of that off, and its escapes don't cover all of it. So it
gets a path with any but plain characters through a symbolic link with a plain name.
"""

import atexit
import contextlib
import functools
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from pinery.errors import ConfigError, StoppedError

PLAIN = re.compile(r"[\w./ -]+")
INTERRUPTED = "Query interrupted"

_lock = threading.Lock()
_links: dict[Path, Path] = {}


def plain(path: Path | str) -> str:
    """Return a path of plain characters to the file or folder at `path`; only the folder that holds it need exist.

    Raises ConfigError where this machine has no temporary folder with a plain name.
    """
    whole = Path(path).absolute()
    if PLAIN.fullmatch(str(whole)):
        return str(whole)
    if PLAIN.fullmatch(whole.name):
        return str(_link(whole.parent) / whole.name)
    return str(_link(whole))


def scan(
    con: duckdb.DuckDBPyConnection,
    files: Path | str | Sequence[Path | str],
    *,
    filename: bool = False,
    row_number: bool = False,
) -> duckdb.DuckDBPyRelation:
    """Return the rows of Parquet files, on request with the columns `filename` (by `plain`) and `file_row_number`."""
    paths = [files] if isinstance(files, Path | str) else files
    return con.read_parquet(
        [plain(path) for path in paths], filename=filename, file_row_number=row_number, hive_partitioning=False
    )


def write(
    con: duckdb.DuckDBPyConnection,
    query: str,
    path: Path,
    *,
    row_group_rows: int = 122_880,
    row_group_bytes: int | None = None,
) -> None:
    """Write the rows of a query to a Parquet file; a row group has at most that many rows, or about that many bytes."""
    size = f"ROW_GROUP_SIZE {row_group_rows}"
    if row_group_bytes is not None:
        size += f", ROW_GROUP_SIZE_BYTES {row_group_bytes}"
    con.execute(f"COPY ({query}) TO '{plain(path)}' (FORMAT parquet, {size})")


def spill_to(con: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Have what doesn't fit into memory lie in `folder`, which DuckDB makes and removes; the one above must exist."""
    con.execute(f"SET temp_directory = '{plain(folder)}'")


@contextlib.contextmanager
def database(file: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield an empty database, in memory or in `file`. Raises StoppedError where a signal came amid a query."""
    try:
        with contextlib.closing(duckdb.connect(file or ":memory:")) as con:
            yield con
    except (RuntimeError, duckdb.InterruptException) as error:
        # DuckDB raises this in the place of what the signal's handler raised.
        if not isinstance(error, duckdb.InterruptException) and str(error) != INTERRUPTED:
            raise
        raise StoppedError("stopped by a signal") from error


@contextlib.contextmanager
def scratch_database(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield an empty database, whose tables and spilled joins lie in `folder` until it is deleted in the end."""
    # DuckDB resolves the links in a database's path, and would misread it again. So with a path that isn't plain, the
    # tables are in memory and spill to the folder, as joins do.
    file = folder.resolve() / "plan.duckdb"
    in_file = PLAIN.fullmatch(str(file)) is not None
    file.unlink(missing_ok=True)
    with database(file if in_file else None) as con:
        spill_to(con, folder / "spill")
        yield con
    file.unlink(missing_ok=True)


def _link(target: Path) -> Path:
    with _lock:
        link = _links.get(target)
        if link is None or not link.is_symlink():
            link = _links[target] = _folder() / str(len(_links))
            link.unlink(missing_ok=True)
            link.symlink_to(target)
        return link


@functools.cache
def _folder() -> Path:
    """Return a temporary folder with a plain name, which is deleted when the process ends."""
    for base in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if PLAIN.fullmatch(base) and Path(base).is_dir():
            made = Path(tempfile.mkdtemp(prefix="pinery-", dir=base))
            atexit.register(shutil.rmtree, made, ignore_errors=True)
            return made
    raise ConfigError(
        f"DuckDB would take the name of the temporary folder {tempfile.gettempdir()!r} for a pattern; set TMPDIR to a"
        " folder whose path has only letters, digits, dots, spaces, _ and -"
    )
