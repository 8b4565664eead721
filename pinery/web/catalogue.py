"""The items of a corpus' current listing by position: pages, totals, filters and look-ups for many visitors."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
from cachetools import LRUCache, cachedmethod
from numpy.typing import NDArray

from pinery.corpus.corpus import Corpus
from pinery.duckdb_files import scan
from pinery.errors import BadFilterError
from pinery.indexes.lance_filter import to_sql
from pinery.parquet.files import read_rows
from pinery.search.listed import COLUMNS, ListedItem

BLOCK_ROWS = 16384
"""Items are read in blocks of so many, which is what a row group of a listing has."""
FRESH_SECONDS = 1.0
"""The longest time for which the name of the current listing is believed."""
MACROS = (
    "CREATE MACRO json_extract(m, p) AS CAST(json_value(m, p) AS VARCHAR)",
    "CREATE MACRO json_array_contains(m, p, v) AS list_contains(json_extract_string(m, p || '[*]'), v)",
)
"""What the embedded index' filters call, in DuckDB's words."""


@dataclass(frozen=True, slots=True)
class Place:
    """One item of a listing, and its position there, from 0 on."""

    position: int
    item: ListedItem


class Catalogue:
    """The current listing of a corpus, which it follows a second behind at most. Safe to use from several threads."""

    def __init__(self, corpus: Corpus) -> None:
        """Read nothing yet; the corpus is the catalogue's own from now on."""
        self._corpus = corpus
        self._lock = threading.Lock()
        self._now: Listed | None = None
        self._at = 0.0

    def now(self) -> Listed | None:
        """Return the current listing; None before the first run."""
        with self._lock:
            if time.monotonic() - self._at >= FRESH_SECONDS:
                name = self._corpus.current_listing()
                if name is None:
                    self._now = None
                elif self._now is None or self._now.name != name:
                    self._now = Listed(self._corpus, name)
                self._at = time.monotonic()
            return self._now


class Listed:
    """One published listing. Safe to use from several threads."""

    def __init__(self, corpus: Corpus, name: str) -> None:
        """Read how many items it has. Raises DamagedError, TerminalError where it is gone."""
        self.name = name
        self._store = corpus.store
        self._blocks: LRUCache[Any, list[ListedItem]] = LRUCache(8)
        self._found: LRUCache[Any, NDArray[np.uint32]] = LRUCache(16)
        self._reading, self._finding = threading.Condition(), threading.Condition()
        self.rows = pq.read_metadata(self._store.local(name)).num_rows

    def total(self, filter: Mapping[str, Any] | None = None) -> int:
        """Return the number of items that match. Raises BadFilterError."""
        return len(self.positions(_text(filter))) if filter else self.rows

    def page(self, start: int, stop: int, filter: Mapping[str, Any] | None = None) -> list[Place]:
        """Return the items `start` to `stop` (exclusive) of those that match, in the order of the listing.

        Raises BadFilterError, DamagedError.
        """
        if not filter:
            return [self._place(position) for position in range(max(start, 0), min(stop, self.rows))]
        return [self._place(int(position)) for position in self.positions(_text(filter))[max(start, 0) : stop]]

    @cachedmethod(lambda self: self._found, condition=lambda self: self._finding)
    def positions(self, filter: str) -> NDArray[np.uint32]:
        """Return the positions of the items that a filter (canonical JSON) matches, in rising order."""
        with duckdb.connect() as con:
            for macro in MACROS:
                con.execute(macro)
            rows = scan(con, self._store.local(self.name), row_number=True)
            try:
                found = rows.filter(to_sql(json.loads(filter))).project("file_row_number").fetchnumpy()
            except (duckdb.ConversionException, duckdb.ParserException, duckdb.BinderException) as error:
                raise BadFilterError(f"filter: {filter[:200]} can't be used: {error}") from None
        return np.sort(found["file_row_number"].astype(np.uint32))

    def _place(self, position: int) -> Place:
        block = self._block(position // BLOCK_ROWS)
        return Place(position, block[position % BLOCK_ROWS])

    @cachedmethod(lambda self: self._blocks, condition=lambda self: self._reading)
    def _block(self, number: int) -> list[ListedItem]:
        table = read_rows(self._store.local(self.name), number * BLOCK_ROWS, (number + 1) * BLOCK_ROWS)
        rows = zip(*(table[name].to_pylist() for name in COLUMNS), strict=True)
        return [ListedItem(row[0], row[1], row[2], json.loads(row[3])) for row in rows]


def _text(filter: Mapping[str, Any] | None) -> str:
    return json.dumps(filter, sort_keys=True)


def ids_of(places: Sequence[Place]) -> list[str]:
    """Return the ids of some places, in their order."""
    return [place.item.id for place in places]
