"""Listings with large metadata, and the plan in which nothing of them is embedded yet."""

import json
import random
from pathlib import Path

import duckdb

from pinery.planning.plan import define_plan, fold_ledger
from pinery.records import Item

NOISE = random.Random(0).randbytes(1 << 20).hex()


def items(count: int, size: int) -> list[Item]:
    """Items whose metadata has about `size` bytes that don't compress."""
    texts = (NOISE[(n * 7919) % (len(NOISE) - size) :][:size] for n in range(count))
    return [Item(f"i{n}", f"file:///i{n}", "v1", 1, json.dumps({"n": n, "t": t})) for n, t in enumerate(texts)]


def planned(con: duckdb.DuckDBPyConnection, listing: Path) -> None:
    """A plan in which nothing is embedded yet."""
    rows = con.read_parquet(str(listing), file_row_number=True).select("*, file_row_number AS position")
    rows.create_view("listing")
    con.execute("CREATE TABLE checkpoint (part VARCHAR, id VARCHAR, version VARCHAR, error VARCHAR)")
    con.execute("CREATE TABLE rejected (id VARCHAR, version VARCHAR, metadata_hash VARCHAR)")
    fold_ledger(con, [])
    define_plan(con, limit=None, retry_quarantined=False)
