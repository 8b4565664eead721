"""The four tables of a plan, filled with rows that can be checked by eye."""

import contextlib
from collections.abc import Iterator, Sequence

import duckdb

from pinery.records import metadata_hash

Row = tuple[str | None, ...]
LABEL = '{"label":"a"}'


@contextlib.contextmanager
def tables(
    listing: Sequence[str | Row] = (),
    checkpoint: Sequence[Row] = (),
    ledger: Sequence[Row] = (),
    rejected: Sequence[Row] = (),
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the tables that `define_plan` takes.

    Rows are written short: the listing as `id` or (id, version, metadata, uri, error, group), the checkpoint as (part
    number, id, version, error), the ledger as (id, version, metadata, "doubt"), the rejected as (id, version, metadata,
    reason). What is left out is version `v1`, metadata `LABEL`, the id as uri, no error, no group, no doubt and the
    reason `no`.
    """
    with duckdb.connect() as con:
        con.execute(
            "CREATE TABLE listing (id VARCHAR, uri VARCHAR, version VARCHAR, bytes BIGINT, metadata VARCHAR,"
            ' error VARCHAR, "group" VARCHAR, position BIGINT)'
        )
        con.execute("CREATE TABLE checkpoint (part VARCHAR, id VARCHAR, version VARCHAR, error VARCHAR)")
        con.execute("CREATE TABLE ledger (id VARCHAR, version VARCHAR, metadata_hash VARCHAR, doubt BOOLEAN)")
        con.execute("CREATE TABLE rejected (id VARCHAR, version VARCHAR, metadata_hash VARCHAR, reason VARCHAR)")
        for position, short in enumerate(listing):
            row = (short,) if isinstance(short, str) else short
            id, version, metadata, uri, error, group = _filled(row, None, "v1", LABEL, None, None, None)
            _insert(con, "listing", (id, uri or f"file:///{id}", version, 1, metadata, error, group, position))
        for row in checkpoint:
            number, id, version, error = _filled(row, None, None, "v1", None)
            _insert(con, "checkpoint", (f"part-{int(number or 0):08d}", id, version, error))
        for row in ledger:
            id, version, metadata, doubt = _filled(row, None, "v1", LABEL, None)
            _insert(con, "ledger", (id, version, metadata and metadata_hash(metadata), doubt is not None))
        for row in rejected:
            id, version, metadata, reason = _filled(row, None, "v1", LABEL, "no")
            _insert(con, "rejected", (id, version, metadata_hash(metadata or ""), reason))
        yield con


def _filled(row: Row, *defaults: str | None) -> list[str | None]:
    return [*row, *defaults[len(row) :]]


def _insert(con: duckdb.DuckDBPyConnection, table: str, row: tuple[str | int | None, ...]) -> None:
    con.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
