"""The parts of a checkpoint that are compacted, and those of their rows that stay: pure SQL over tables.

The tables that it takes, as DuckDB relations: `checkpoint` (part, id, version, error, row), where `row` is the number
of the row in its part, and `wanted` (id, version), distinct.

A row stays if it is the one that counts of a wanted version: among those with a vector the one in the lowest part, else
the error in the highest. It must count afterwards as well, although it moves to a part with a higher name. So where
another part has a vector of the same version, that part is compacted too, and the rows that don't count are left out.
While the old parts are removed, the highest first, the row that counts is there in the lowest of those that are left.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import duckdb

from pinery.planning.cost import FLOAT_BYTES

LIVE_SHARE = 0.5
"""A part of whose bytes less than this stay is compacted."""
SMALL_PARTS = 16
"""So many small parts are merged; a part is small where at most a sixteenth of the rows of a full one stay."""
ROW_BYTES = 200
"""The assumed bytes of a row beside its vector: id, version, and hash or error."""


@dataclass(frozen=True, slots=True)
class PartUse:
    """The rows of a part, those of them that stay, and about how many bytes both take before they are compressed."""

    part: str
    rows: int
    kept: int
    bytes: int
    kept_bytes: int

    @property
    def dead_share(self) -> float:
        """The share of the bytes that is of no use any more."""
        return 1 - self.kept_bytes / self.bytes


@dataclass(frozen=True, slots=True)
class Chosen:
    """A part that is to be compacted, and why."""

    use: PartUse
    why: str


def choose_parts(con: duckdb.DuckDBPyConnection, dimension: int, part_rows: int) -> list[Chosen]:
    """Define `kept_rows` (part, row, size) and return the parts to compact, in the order of their names.

    `dimension` is that of the vectors, `part_rows` the rows of a full part. The newest part is among them only if
    something of them stays, which then is in a part with a higher name: no name is ever given to two parts.
    """
    _define_kept(con, dimension)
    uses = _uses(con)
    small = [use for use in uses.values() if use.kept <= part_rows // SMALL_PARTS]
    chosen = {one.part: f"one of {len(small)} small parts, which become one" for one in small}
    if len(small) < SMALL_PARTS:
        chosen.clear()
    chosen |= {part: _share(use) for part, use in uses.items() if use.dead_share > 1 - LIVE_SHARE}
    while others := _with_the_same(con, chosen):
        chosen |= dict.fromkeys(others, "has other vectors of images whose rows move")
    if not any(uses[part].kept for part in chosen):
        chosen.pop(max(uses, default=""), None)
    return [Chosen(uses[part], chosen[part]) for part in sorted(chosen)]


def rows_kept(con: duckdb.DuckDBPyConnection, part: str) -> list[int]:
    """Return the numbers of the rows of `part` that stay, in their order; `choose_parts` has defined them."""
    found = con.execute("SELECT row FROM kept_rows WHERE part = ? ORDER BY row", [part]).fetchall()
    return [row for (row,) in found]


def _define_kept(con: duckdb.DuckDBPyConnection, dimension: int) -> None:
    con.execute("""
        CREATE OR REPLACE TABLE kept AS
        SELECT id, version, coalesce(min(part) FILTER (error IS NULL), max(part)) AS part,
               bool_and(error IS NOT NULL) AS bad
        FROM checkpoint SEMI JOIN wanted USING (id, version)
        GROUP BY id, version
    """)
    con.execute(f"""
        CREATE OR REPLACE TABLE kept_rows AS
        SELECT part, min(c.row) AS row, any_value({_size(dimension)}) AS size
        FROM checkpoint c JOIN kept USING (id, version, part)
        WHERE (c.error IS NOT NULL) = bad
        GROUP BY id, version, part
    """)
    con.execute(f"""
        CREATE OR REPLACE TABLE part_rows AS
        SELECT part, count(*) AS rows, sum({_size(dimension)}) AS size FROM checkpoint GROUP BY part
    """)


def _size(dimension: int) -> str:
    return f"CASE WHEN error IS NULL THEN {FLOAT_BYTES * dimension} ELSE 0 END + {ROW_BYTES}"


def _uses(con: duckdb.DuckDBPyConnection) -> dict[str, PartUse]:
    found = con.execute("""
        SELECT p.part, p.rows, coalesce(k.rows, 0), p.size::BIGINT, coalesce(k.size, 0)::BIGINT
        FROM part_rows p LEFT JOIN (SELECT part, count(*) AS rows, sum(size) AS size FROM kept_rows GROUP BY part) k
             USING (part)
    """)
    return {row[0]: PartUse(*row) for row in found.fetchall()}


def _share(use: PartUse) -> str:
    if not use.kept:
        return f"none of its {use.rows:,} rows is live"
    return f"{use.kept:,} of its {use.rows:,} rows are live, and move to a new part"


def _with_the_same(con: duckdb.DuckDBPyConnection, chosen: Iterable[str]) -> list[str]:
    """Return the other parts that have a vector of a version whose row in one of the `chosen` parts stays."""
    found = con.execute(
        """
        SELECT DISTINCT c.part FROM checkpoint c JOIN kept k USING (id, version)
        WHERE c.error IS NULL AND NOT k.bad
          AND list_contains($chosen, k.part) AND NOT list_contains($chosen, c.part)
        """,
        {"chosen": list(chosen)},
    )
    return [part for (part,) in found.fetchall()]
