"""The labels of some items, as the listing has them."""

import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from pinery.duckdb_files import database, scan

LABEL = "label"
"""The key of the metadata that says what an image shows."""
ROWS_AT_ONCE = 256


def labels_of(listing: Path, ids: Iterable[str]) -> dict[str, str]:
    """Return the labels of those of these items that have one, as JSON text, by id."""
    labels = {}
    with database() as con:
        con.register("wanted", pa.table({"id": pa.array(sorted(set(ids)), pa.string())}))
        scan(con, listing).create_view("listing")
        found = con.execute("SELECT id, metadata FROM listing SEMI JOIN wanted USING (id)")
        while rows := found.fetchmany(ROWS_AT_ONCE):
            for item, metadata in rows:
                label = json.loads(metadata).get(LABEL)
                if label is not None:
                    labels[item] = json.dumps(label)
    return labels
