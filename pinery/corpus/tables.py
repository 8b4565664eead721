"""The tables that planning works on, in DuckDB: listing, checkpoint, ledger and rejected."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import duckdb

from pinery.allocator import give_back_freed_memory
from pinery.checkpoint.ledger import Ledger
from pinery.checkpoint.parts import Checkpoint
from pinery.duckdb_files import scan, scratch_database
from pinery.errors import TerminalError
from pinery.parquet.checksums import check_file
from pinery.planning.plan import define_plan, fold_ledger

MEMORY = "768MB"
UNREADABLE = (duckdb.InvalidInputException, duckdb.IOException, duckdb.Error)
"""The errors of DuckDB that a file it can't read raises; DuckDB 2 raises the last for a file without a footer."""


@contextlib.contextmanager
def connect(scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection whose tables live in `scratch`, and whose joins spill there.

    Raises as `database`, and TerminalError where the memory doesn't suffice or a file can't be read.
    """
    give_back_freed_memory()  # DuckDB takes its own from the system, beside what listing or embedding has left
    with scratch_database(scratch) as con:
        con.execute(f"SET memory_limit = '{MEMORY}'; SET threads = 2; SET preserve_insertion_order = false")
        try:
            yield con
        except duckdb.OutOfMemoryException as error:
            raise TerminalError(
                f"planning needs more than the {MEMORY} that it may use: {str(error).partition(chr(10))[0]}"
            ) from error
        except duckdb.Error as error:
            if type(error) not in UNREADABLE:
                raise
            message = str(error).partition("\n")[0]
            raise TerminalError(
                f"a file of the state can't be read: {message}. Files of earlier versions have no checksums that would"
                " tell more; if this one lies in a folder `parts`, delete it: its images are embedded again"
            ) from error


@contextlib.contextmanager
def planned(
    scratch: Path,
    listing: Path,
    checkpoint: Checkpoint | None,
    ledger: Ledger | None,
    *,
    limit: int | None = None,
    retry_quarantined: bool = False,
    doubted: bool = False,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with the tables of `define_tables` and of the plan over them (`define_plan`).

    Where all rows of the ledger are `doubted`, the index may hold none of them, as one that somebody emptied.
    """
    with connect(scratch) as con:
        define_tables(con, listing, checkpoint, ledger)
        if doubted:
            con.execute("UPDATE ledger SET doubt = true")
        define_plan(con, limit=limit, retry_quarantined=retry_quarantined)
        yield con


def define_tables(
    con: duckdb.DuckDBPyConnection, listing: Path, checkpoint: Checkpoint | None, ledger: Ledger | None
) -> None:
    """Define `listing`, `checkpoint`, `ledger` and `rejected` over local files; absent ones are empty.

    What DuckDB is going to read is checked here, for it checks nothing. Raises DamagedError.
    """
    check_file(listing, str(listing))
    scan(con, listing, row_number=True).select("*, file_row_number AS position").create_view("listing")
    keys = [str(path) for path in checkpoint.key_files().values()] if checkpoint else []
    _view(
        con,
        "checkpoint",
        keys,
        "regexp_extract(filename, '(part-[0-9]+)[^/]*$', 1) AS part, id, version, error",
        "part VARCHAR, id VARCHAR, version VARCHAR, error VARCHAR",
    )
    fold_ledger(con, [str(path) for path in ledger.files()] if ledger else [])
    refused = [str(path) for path in ledger.rejected_files()] if ledger else []
    _view(
        con,
        "rejected",
        refused,
        "id, version, metadata_hash, reason",
        "id VARCHAR, version VARCHAR, metadata_hash VARCHAR, reason VARCHAR",
    )


def _view(con: duckdb.DuckDBPyConnection, name: str, files: list[str], columns: str, empty: str) -> None:
    if files:
        scan(con, files, filename=True).select(columns).create_view(name)
    else:
        con.execute(f"CREATE TABLE {name} ({empty})")
