"""Desired − recorded = plan: pure SQL over tables; no clock, no network, no environment.

The tables that it takes, as DuckDB relations:
`listing` (id, uri, version, bytes, metadata, position; error where an item's metadata can't go into an index; group,
which a limit counts by itself, null where the corpus is one),
`checkpoint` (part, id, version, error), `ledger` (id, version, metadata_hash, doubt), `rejected` (id, version,
metadata_hash).

A ledger row says what an index acknowledged last. `doubt` marks a row that was about to be written when the last entry
was made: the index holds the old state or the new one. Its version is null if nothing was ever acknowledged.

A listed version with neither vector nor verdict is *awaited*: not embedded yet, or its item moved before it was read.
What an index holds of it stays, however old, until a listing sees the item as it is.
"""

from dataclasses import dataclass

import duckdb

from pinery.duckdb_files import plain, scan

# Must equal records.metadata_hash.
HASHED = "substr(sha256(metadata), 1, 16)"

SECTIONS = {
    "new": "absent AND NOT bad AND NOT refused",
    "changed": "NOT absent AND other_version AND NOT bad AND NOT refused",
    "relabelled": "NOT absent AND NOT other_version AND other_metadata AND NOT refused",
    "unchanged": "NOT absent AND NOT other_version AND NOT other_metadata",
    "quarantined": "bad",
    "rejected": "refused AND NOT bad",
}
"""The conditions on `items` that say as what a listed item is counted."""

SHOWN_REASONS = 10
"""The most reasons, for which items are left out, that are reported by themselves."""


@dataclass(frozen=True, slots=True)
class PlanCounts:
    """The changes that a run would make, counted in ids."""

    listed: int
    new: int
    changed: int
    relabelled: int
    unchanged: int
    deleted: int
    """Ids that the index acknowledged and that are not in the listing."""
    leaving: int
    """Ids of the ledger that are not in the listing, or are listed with bytes that are recorded as bad or refused."""
    quarantined: int
    """Listed items for whose version a verdict is recorded already."""
    rejected: int
    """Listed items that the index refused as they are, or whose metadata no index takes."""
    awaited: int
    """Listed items whose version has neither vector nor verdict."""
    to_embed: int
    to_upsert: int
    """Checkpointed items that the ledger doesn't have as it should."""
    to_delete: int
    """The ids that are leaving, or none where the work is limited."""
    held: int
    """Rows that the index acknowledged to hold."""
    doubtful: int
    """Rows that were being written or deleted when a run died."""
    held_in_doubt: int
    """Doubtful rows that the index had acknowledged before: they may be gone by now."""

    @property
    def perhaps_held(self) -> int:
        """The number of rows that the index holds or may hold: all rows of the ledger."""
        return self.held + self.doubtful - self.held_in_doubt


def define_plan(con: duckdb.DuckDBPyConnection, *, limit: int | None, retry_quarantined: bool) -> None:
    """Define `winner`, `desired`, `items`, `to_embed`, `to_upsert`, `leaving` and `to_delete` over the four tables.

    `limit` restricts the work to the first items of each group of the listing, and then nothing is deleted.
    `retry_quarantined` embeds again what has an error for its version, and sends again what was refused.
    """
    con.execute("""
        CREATE OR REPLACE TABLE winner AS
        SELECT id, version,
               coalesce(min(part) FILTER (error IS NULL), min(part)) AS part,
               CASE WHEN bool_and(error IS NOT NULL) THEN arg_max(error, part) END AS error
        FROM checkpoint SEMI JOIN listing USING (id, version)
        GROUP BY id, version
    """)
    unfit = _listed(con, "error")
    con.execute(f"""
        CREATE OR REPLACE VIEW desired AS
        SELECT l.id, l.uri, l.version, l.metadata, l.position, {unfit} AS unfit, w.part, w.error
        FROM listing l LEFT JOIN winner w ON w.id = l.id AND w.version = l.version
    """)
    _define_items(con, unfit, limit, retry_quarantined)
    within = "true" if limit is None else f"place <= {int(limit)}"
    missing = "part IS NULL OR bad" if retry_quarantined else "part IS NULL"
    con.execute(f"CREATE OR REPLACE VIEW to_embed AS SELECT * FROM items WHERE ({missing}) AND {within}")
    con.execute(f"""
        CREATE OR REPLACE VIEW to_upsert AS
        SELECT * FROM items WHERE part IS NOT NULL AND NOT bad AND NOT refused
        AND (absent OR other_version OR other_metadata OR doubt) AND {within}
    """)
    # Bytes that are bad now, or a row that was refused, must not be found as what they were before.
    con.execute("""
        CREATE OR REPLACE TABLE leaving AS
        SELECT g.id, i.id IS NULL AND g.version IS NOT NULL AS deleted FROM ledger g LEFT JOIN items i USING (id)
        WHERE i.id IS NULL
           OR (i.bad AND (i.other_version OR i.doubt))
           OR (i.refused AND (i.other_version OR i.other_metadata OR i.doubt))
    """)
    con.execute(f"CREATE OR REPLACE VIEW to_delete AS SELECT id FROM leaving WHERE {limit is None}")


def _define_items(con: duckdb.DuckDBPyConnection, unfit: str, limit: int | None, retry_quarantined: bool) -> None:
    # Metadata is hashed before any join or sort, for rows of tens of kilobytes would not fit into one.
    columns = (
        f"id, uri, version, position, {HASHED} AS metadata_hash, strlen(metadata) AS size,"
        f" {unfit} IS NOT NULL AS unfit, {_listed(con, 'group')} AS in_group"
    )
    # Numbering the items of a group sorts all of them, so only a limit pays for it.
    place = "0" if limit is None else "row_number() OVER (PARTITION BY l.in_group ORDER BY l.position)"
    asked = "false" if retry_quarantined else "true"
    con.execute(f"""
        CREATE OR REPLACE TABLE items AS
        SELECT l.id, l.version, l.position, w.part, l.place, l.metadata_hash, l.size,
               w.error IS NOT NULL AS bad,
               g.version IS NULL AS absent, coalesce(g.doubt, false) AS doubt,
               g.version IS DISTINCT FROM l.version AS other_version,
               l.unfit OR g.metadata_hash IS DISTINCT FROM l.metadata_hash AS other_metadata,
               l.unfit OR r.id IS NOT NULL AND {asked} AND (
                   g.version IS DISTINCT FROM l.version OR g.metadata_hash IS DISTINCT FROM l.metadata_hash OR g.doubt
               ) AS refused
        FROM (SELECT * EXCLUDE (uri, in_group), {place} AS place FROM (SELECT {columns} FROM listing l) l) l
        LEFT JOIN winner w ON w.id = l.id AND w.version = l.version
        LEFT JOIN ledger g ON g.id = l.id
        LEFT JOIN (SELECT DISTINCT id, version, metadata_hash FROM rejected) r
               ON r.id = l.id AND r.version = l.version AND r.metadata_hash = l.metadata_hash
    """)


def _listed(con: duckdb.DuckDBPyConnection, column: str) -> str:
    """Return the column of the listing `l` as an expression; it is null where an earlier version wrote no such column.

    Such a listing is never limited, for a limited run makes its own.
    """
    has_it = column in con.sql("SELECT * FROM listing LIMIT 0").columns
    return f'l."{column}"' if has_it else "NULL::VARCHAR"


def group_sizes(con: duckdb.DuckDBPyConnection) -> list[tuple[str | None, int]]:
    """Return how many items each group of the listing has, by name; the group is None where the corpus is one."""
    group = _listed(con, "group")
    return con.execute(f"SELECT {group} AS name, count(*) FROM listing l GROUP BY name ORDER BY name").fetchall()


def count_plan(con: duckdb.DuckDBPyConnection) -> PlanCounts:
    """Count what the views of `define_plan` hold."""
    # One query after the other: together, their joins would need their memory at once.
    counted = ", ".join(f"count(*) FILTER ({condition})" for condition in SECTIONS.values())
    [(listed, *found)] = con.execute(f"SELECT count(*), {counted} FROM items").fetchall()
    sections: dict[str, int] = dict(zip(SECTIONS, found, strict=True))
    return PlanCounts(
        listed=listed,
        **sections,
        deleted=count_rows(con, "leaving WHERE deleted"),
        leaving=count_rows(con, "leaving"),
        awaited=count_rows(con, "items WHERE part IS NULL"),
        to_embed=count_rows(con, "to_embed"),
        to_upsert=count_rows(con, "to_upsert"),
        to_delete=count_rows(con, "to_delete"),
        held=count_rows(con, "ledger WHERE version IS NOT NULL"),
        doubtful=count_rows(con, "ledger WHERE doubt"),
        held_in_doubt=count_rows(con, "ledger WHERE doubt AND version IS NOT NULL"),
    )


def count_rows(con: duckdb.DuckDBPyConnection, rows: str) -> int:
    """Count the rows of a view or table; a condition may follow its name in `rows`."""
    [(count,)] = con.execute(f"SELECT count(*) FROM {rows}").fetchall()
    return int(count)


def duplicate_ids(con: duckdb.DuckDBPyConnection) -> tuple[str, str, str] | None:
    """Return an id that two items of the listing share, with both uris; None where ids are distinct."""
    rows = con.execute(
        "SELECT id, min(uri), max(uri) FROM listing GROUP BY id HAVING count(*) > 1 ORDER BY id LIMIT 1"
    ).fetchall()
    return rows[0] if rows else None


def fold_ledger(con: duckdb.DuckDBPyConnection, files: list[str]) -> None:
    """Define the table `ledger` from entry files (LEDGER_SCHEMA), oldest first.

    The last acknowledgement of an id wins; an acknowledged delete removes it. An entry that is no acknowledgement (not
    deleted, version null) leaves the row as it was, in doubt until the next acknowledgement.
    """
    con.execute("CREATE OR REPLACE TABLE ledger (id VARCHAR, version VARCHAR, metadata_hash VARCHAR, doubt BOOLEAN)")
    if files:
        scan(con, files, filename=True, row_number=True).create_view("entry_files")
        con.execute(
            """
            INSERT INTO ledger
            WITH entries AS (
                SELECT id, version, metadata_hash, deleted, NOT deleted AND version IS NULL AS intent,
                       list_position($files, filename) * 4294967296 + file_row_number AS place
                FROM entry_files
            ), folded AS (
                SELECT id, max_by({version: version, metadata_hash: metadata_hash}, place) FILTER (NOT intent) AS last,
                       arg_max(intent, place) AS doubt
                FROM entries GROUP BY id
            )
            SELECT id, last.version, last.metadata_hash, doubt FROM folded WHERE doubt OR last.version IS NOT NULL
            """,
            {"files": [plain(file) for file in files]},
        )


def last_window(con: duckdb.DuckDBPyConnection, files: list[str]) -> duckdb.DuckDBPyRelation:
    """Return the ids of these entry files (LEDGER_SCHEMA), and of all rows of the table `ledger` in doubt."""
    doubtful = "SELECT id FROM ledger WHERE doubt"
    if not files:
        return con.sql(doubtful)
    scan(con, files).create_view("newest_entries")
    return con.sql(f"{doubtful} UNION SELECT id FROM newest_entries")


def snapshot_rows(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    """Return the rows (LEDGER_SCHEMA) that say in one file what the table `ledger` says; an intent comes last."""
    return con.sql("""
        SELECT id, version, metadata_hash, false AS deleted FROM ledger WHERE version IS NOT NULL
        UNION ALL SELECT id, NULL, NULL, false FROM ledger WHERE doubt
    """)


def not_indexed(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, int]]:
    """Return the number of listed items that are not in the index, by kind and by the commonest reasons."""
    quarantined = "SELECT error AS reason FROM winner WHERE error IS NOT NULL"
    rejected = """
        SELECT coalesce(any_value(r.reason), 'metadata that no index takes') AS reason
        FROM items i LEFT JOIN rejected r
             ON r.id = i.id AND r.version = i.version AND r.metadata_hash = i.metadata_hash
        WHERE i.refused AND NOT i.bad GROUP BY i.id
    """
    found = {"quarantined": _commonest(con, quarantined), "rejected": _commonest(con, rejected)}
    return {kind: reasons for kind, reasons in found.items() if reasons}


def _commonest(con: duckdb.DuckDBPyConnection, rows: str) -> dict[str, int]:
    """Return how often each `reason` is in the rows; those beyond the commonest are counted together."""
    counts = con.execute(f"""
        SELECT CASE WHEN place <= {SHOWN_REASONS} THEN reason ELSE 'other reasons' END, sum(times)::BIGINT
        FROM (
            SELECT reason, count(*) AS times, row_number() OVER (ORDER BY count(*) DESC, reason) AS place
            FROM ({rows}) GROUP BY reason
        )
        GROUP BY ALL ORDER BY min(place)
    """)
    return dict(counts.fetchall())
