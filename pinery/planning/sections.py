"""What a plan shows beside its counts: the first ids of each section, and how much there is to write."""

import duckdb

from pinery.planning.estimate import Amount
from pinery.planning.plan import SECTIONS, PlanCounts

SHOWN_IDS = 5
"""The ids of each section that are shown."""


def first_ids(con: duckdb.DuckDBPyConnection) -> dict[str, tuple[str, ...]]:
    """Return the first ids of each section of the plan in `con`, in the listing's order; `removed` by their ids."""
    queries = {name: f"items WHERE {condition} ORDER BY position" for name, condition in SECTIONS.items()}
    queries["removed"] = "leaving WHERE deleted ORDER BY id"
    return {
        name: tuple(id for (id,) in con.execute(f"SELECT id FROM {query} LIMIT {SHOWN_IDS}").fetchall())
        for name, query in queries.items()
    }


def amount_of(con: duckdb.DuckDBPyConnection, counts: PlanCounts) -> Amount:
    """Return how much there is to do by the plan in `con`, whose counts are `counts`."""
    [(rows, overwritten, ids, metadata)] = con.execute("""
        SELECT count(*), count(*) FILTER (NOT absent OR doubt), sum(strlen(id)), sum(size)
        FROM (SELECT * FROM to_upsert UNION ALL SELECT * FROM to_embed WHERE NOT refused)
    """).fetchall()
    [(stored, stored_bytes)] = con.execute(
        "SELECT count(*), sum(strlen(id) + size) FROM items WHERE NOT bad AND NOT refused"
    ).fetchall()
    return Amount(
        images=counts.to_embed,
        rows=rows,
        overwritten=overwritten,
        deleted=counts.to_delete,
        id_bytes=int(ids or 0),
        metadata_bytes=int(metadata or 0),
        stored=stored,
        stored_bytes=int(stored_bytes or 0),
    )
