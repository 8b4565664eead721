"""Draws a random sample of a corpus as a picture."""

import json
from pathlib import Path
from typing import Any

from pinery.corpus.corpus import Corpus
from pinery.corpus.stored import current_listing
from pinery.duckdb_files import database, scan
from pinery.search.grid import check_grid, draw_grid
from pinery.search.listed import ListedItem
from pinery.search.tile import tile


def show(corpus: Corpus, grid: str | None, count: int, seed: int) -> dict[str, Any]:
    """Draw `count` random items of the current listing; the same seed draws the same items.

    Returns the picture's path and the items, as `show --json` prints them. Raises ConfigError before the first run, and
    where the picture can't be written.
    """
    picture = Path(f"show-{corpus.config.corpus}.png" if grid is None else grid)
    check_grid(picture)
    with database() as con:
        scan(con, current_listing(corpus)).create_view("listing")
        rows = con.execute(
            "SELECT id, uri, version, metadata FROM listing ORDER BY hash(id || ?::VARCHAR) LIMIT ?", [seed, count]
        ).fetchall()
    items = [ListedItem(row[0], row[1], row[2], json.loads(row[3])) for row in rows]
    tiles = [tile(corpus, item.id, item, item.metadata) for item in items]
    drawn = draw_grid(tiles, picture)
    return {
        "grid": str(drawn),
        "items": [{"id": item.id, "uri": item.uri, "metadata": item.metadata} for item in items],
    }
