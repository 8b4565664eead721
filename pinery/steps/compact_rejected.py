"""The files of the rows that an index rejected: dropped or merged once their rows are of no use any more."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from pinery.checkpoint.ledger import Ledger, last_epoch
from pinery.corpus.corpus import Corpus
from pinery.corpus.run import HeldTarget
from pinery.corpus.tables import connect
from pinery.corpus.target import Target
from pinery.duckdb_files import scan
from pinery.records import REJECTED_SCHEMA
from pinery.reports import Removable
from pinery.steps.compact_parts import define_wanted

MANY = 16
"""So many files of one index are merged."""
LIVE_SHARE = 0.5
BATCH = 16384


@dataclass(frozen=True, slots=True)
class Refused:
    """A file of rejected rows: its name, its rows, and those of them that the newest listings still have."""

    name: str
    rows: int
    live: int


def find_rejected(corpus: Corpus, target: Target, scratch: Path) -> tuple[Removable, ...]:
    """Return the files of rejected rows that a prune drops or merges. Raises DamagedError."""
    ledger = target.recorded_ledger()
    if ledger is None:
        return ()
    with connect(scratch) as con:
        chosen = _chosen(con, corpus, ledger)
        sizes = corpus.store.sizes(target.recorded_at.rejected) if chosen else {}
    folder = target.recorded_at.rejected
    return tuple(Removable("rejected", f"{folder}/{one.name}", sizes.get(one.name, 0), _why(one)) for one in chosen)


def compact_rejected(held: HeldTarget) -> list[str]:
    """Put the rejected rows that are still listed into one file, then remove the old ones; return their names."""
    target, recorded = held.target, held.target.recorded()
    if recorded is None:
        return []
    epoch = max(held.lease.epoch, last_epoch(target.store, target.recorded_at) + 1)
    ledger = Ledger(target.store, target.recorded_at, epoch, recorded.first_epoch)
    with connect(held.scratch) as con:
        chosen = _chosen(con, held.run.corpus, ledger)
        if not chosen:
            return []
        found = con.sql(
            "SELECT DISTINCT id, version, metadata_hash, reason FROM rejected SEMI JOIN wanted USING (id, version)"
            " WHERE list_contains($names, file)",
            params={"names": [one.name for one in chosen]},
        )
        rows = found.to_arrow_reader(BATCH).read_all()
    if rows.num_rows:
        with held.writing():
            ledger.reject(rows.cast(REJECTED_SCHEMA), held.scratch)
    for one in chosen:
        held.check()
        ledger.forget_rejected(one.name)
    return [f"{target.recorded_at.rejected}/{one.name}" for one in chosen]


def _chosen(con: duckdb.DuckDBPyConnection, corpus: Corpus, ledger: Ledger) -> list[Refused]:
    """Define `rejected` (file and REJECTED_SCHEMA) and `wanted`, and return the files to drop or to merge."""
    files = [str(path) for path in ledger.rejected_files()]
    con.execute(
        "CREATE TABLE rejected (file VARCHAR, id VARCHAR, version VARCHAR, metadata_hash VARCHAR, reason VARCHAR)"
    )
    if not files or not define_wanted(con, corpus):
        return []
    # The names are the state's, not those of the local copies.
    for name, path in zip(ledger.rejected_names(), files, strict=True):
        scan(con, path).select(f"'{name}', id, version, metadata_hash, reason").insert_into("rejected")
    found = con.execute("""
        SELECT file, count(*), count(w.id) FROM rejected r LEFT JOIN wanted w USING (id, version)
        GROUP BY file ORDER BY file
    """)
    all_files = [Refused(*row) for row in found.fetchall()]
    if len(all_files) >= MANY:
        return all_files
    return [one for one in all_files if one.live < LIVE_SHARE * one.rows]


def _why(one: Refused) -> str:
    if not one.live:
        return f"none of its {one.rows:,} rows is listed any more"
    return f"{one.live:,} of its {one.rows:,} rows are still listed, and move to a new file"
