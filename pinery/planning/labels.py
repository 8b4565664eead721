"""Finds the rows that would lose metadata of the index, by pure SQL over the tables of a plan and earlier listings.

The ledger has only the hash of what was sent, so the names of the metadata come from the listing that it was sent from.
Metadata itself is reduced to its names before anything is joined.
"""

import duckdb

from pinery.planning.plan import HASHED, count_rows

SHOWN_NAMES = 3


def find_relabelled(con: duckdb.DuckDBPyConnection) -> int:
    """Define `relabelled`, the rows that would get other metadata than the index has; return how many there are."""
    con.execute("""
        CREATE OR REPLACE TABLE relabelled AS
        SELECT i.id, i.position, g.metadata_hash FROM items i JOIN ledger g USING (id)
        WHERE NOT i.absent AND i.other_metadata AND NOT i.bad AND NOT i.refused
    """)
    con.execute("CREATE OR REPLACE TABLE before (id VARCHAR, names VARCHAR[])")
    return count_rows(con, "relabelled")


def note_names(con: duckdb.DuckDBPyConnection, listing: str, exact: bool) -> bool:
    """Enter in `before` which names the `relabelled` rows had in `listing`, a relation with id and metadata.

    It enters only rows that have no names yet and, with `exact`, only those whose metadata was what the index has.
    Returns whether all rows have their names now.
    """
    same = "o.metadata_hash = r.metadata_hash" if exact else "true"
    con.execute(f"""
        INSERT INTO before
        SELECT o.id, o.names
        FROM (SELECT id, json_keys(metadata) AS names, {HASHED} AS metadata_hash FROM {listing}) o
        JOIN relabelled r ON r.id = o.id AND {same} ANTI JOIN before ON before.id = o.id
    """)
    return count_rows(con, "before") == count_rows(con, "relabelled")


def count_losing(con: duckdb.DuckDBPyConnection) -> tuple[int, list[str]]:
    """Return how many rows have fewer names in the listing than before, and the names most often lost."""
    con.execute("""
        CREATE OR REPLACE TABLE losing AS
        SELECT before.names AS before, now.names AS now
        FROM (SELECT position, json_keys(metadata) AS names FROM listing) now
        JOIN relabelled USING (position) JOIN before USING (id)
        WHERE NOT list_has_all(now.names, before.names)
    """)
    names = con.execute(f"""
        SELECT name FROM (SELECT unnest(before) AS name, now FROM losing) WHERE NOT list_contains(now, name)
        GROUP BY name ORDER BY count(*) DESC, name LIMIT {SHOWN_NAMES}
    """).fetchall()
    return count_rows(con, "losing"), [name for (name,) in names]
