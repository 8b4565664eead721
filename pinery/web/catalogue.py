"""The items of a corpus' current listing by position: pages, totals, filters and look-ups for many visitors."""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
from cachetools import LRUCache, cachedmethod
from numpy.typing import NDArray

from pinery.corpus.corpus import Corpus
from pinery.duckdb_files import database, scan, spill_to
from pinery.errors import BadFilterError, DamagedError, TerminalError, TransientError
from pinery.indexes.lance_filter import to_sql
from pinery.parquet.files import open_parquet
from pinery.search.listed import COLUMNS, ListedItem

Result = TypeVar("Result")
FRESH_SECONDS = 1.0
"""The longest time for which the name of the current listing is believed."""
SETTLED_SECONDS = 3.0
KNOWN_ITEMS = 20_000
"""Items that were handed out last, which are about to be asked for by their ids."""
BLOCK_BYTES, POSITION_BYTES = 64 << 20, 64 << 20
"""The bytes that are remembered of a listing's rows, and of the positions that filters match."""
MOST_BLOCKS = 8
"""The row groups that are read for one page at most."""
SCANS_AT_ONCE, SCAN_PATIENCE = 2, 20.0
"""Scans of listings that run at once in the whole process, and the seconds for which another one waits for its turn."""
SCAN_MEMORY = "512MB"
MACROS = (
    "CREATE MACRO json_extract(m, p) AS lowered(CAST(json_value(m, p) AS VARCHAR))",
    "CREATE MACRO json_array_contains(m, p, v) AS"
    " list_contains(json_extract_string(m, p || '[*]'), json_extract_string('[\"' || v || '\"]', '$[0]'))",
)
"""The functions that the embedded index' filters call, in DuckDB's words.

DuckDB has json_extract under the name json_extract_path as well.
"""
UPPER = [f"\\u{code:04X}" for code in range(32) if f"{code:04X}" != f"{code:04x}"]
"""Control characters as DuckDB writes them in JSON; filters and listings have small letters there."""

_scanning = threading.BoundedSemaphore(SCANS_AT_ONCE)


class ListingGoneError(TransientError):
    """The listing was removed while it was read, so there is a newer one."""


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
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._now: Listed | None = None
        self._at = float("-inf")

    def now(self, *, anew: bool = False) -> Listed | None:
        """Return the current listing, looked for `anew` on request; None before the first run.

        While one thread opens a newer listing, the others get the one before. Raises DamagedError, TransientError.
        """
        with self._lock:
            known = self._now
            if not anew and time.monotonic() - self._at < FRESH_SECONDS:
                return known
        if not self._opening.acquire(blocking=anew or known is None):
            return known
        try:
            with self._lock:
                known, at = self._now, time.monotonic()
                if not anew and at - self._at < FRESH_SECONDS:  # another thread was first
                    return known
            found = self._opened(known)
            with self._lock:
                self._now, self._at = found, at
            return found
        finally:
            self._opening.release()

    def ask(self, read: Callable[[Listed], Result]) -> Result | None:
        """Return what `read` reads of the current listing, None before the first run.

        A listing that a run removes meanwhile is no error: the newer one is read.
        """
        listed = self.now()
        if listed is None:
            return None
        try:
            return read(listed)
        except ListingGoneError:
            newer = self.now(anew=True)
            if newer is None or newer is listed:
                raise
            return read(newer)

    def _opened(self, known: Listed | None) -> Listed | None:
        for attempt in range(2):
            name = self._corpus.current_listing()
            if name is None:
                return None
            if known is not None and known.name == name:
                return known
            try:
                return Listed(self._corpus, name)
            except ListingGoneError:
                if attempt:
                    raise
        raise AssertionError("the second attempt returns or raises")


class Listed:
    """One published listing. Safe to use from several threads."""

    def __init__(self, corpus: Corpus, name: str) -> None:
        """Read how many items it has. Raises DamagedError, ListingGoneError, TransientError."""
        self.name, self._since = name, time.monotonic()
        self._blocks: LRUCache[Any, pa.Table] = LRUCache(BLOCK_BYTES, lambda table: table.nbytes)
        self._found: LRUCache[Any, NDArray[np.uint32]] = LRUCache(POSITION_BYTES, lambda found: found.nbytes + 64)
        self._known: LRUCache[str, ListedItem] = LRUCache(KNOWN_ITEMS)
        self._reading, self._finding, self._knowing = threading.Condition(), threading.Condition(), threading.Lock()
        with self._there():
            self._path = corpus.store.local(name)
            with open_parquet(self._path, name) as file:
                counts = [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)]
        self._starts = np.cumsum([0, *counts])
        """The position of the first item of each row group, and the number of all."""
        self.rows = int(self._starts[-1])

    def total(self, filter: Mapping[str, Any] | None = None) -> int:
        """Return the number of items that match. Raises BadFilterError."""
        return len(self.positions(text_of(filter))) if filter else self.rows

    def page(self, start: int, stop: int, filter: Mapping[str, Any] | None = None) -> list[Place]:
        """Return the items `start` to `stop` (exclusive) of those that match, in the order of the listing.

        Raises BadFilterError, DamagedError, ListingGoneError.
        """
        start = max(start, 0)
        if not filter:
            return self._places(range(start, min(stop, self.rows)))
        return self._places(self.positions(text_of(filter))[start:stop].tolist())

    def before(self, position: int, filter: Mapping[str, Any] | None = None) -> int:
        """Return how many of the items that match stand before a position of the listing."""
        return int(np.searchsorted(self.positions(text_of(filter)), position)) if filter else position

    def find(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the positions of those of these items that are listed, by id; it scans the ids of the listing."""
        with self._scan() as con:
            rows = scan(con, self._path, row_number=True)
            wanted = duckdb.ColumnExpression("id").isin(*(duckdb.ConstantExpression(one) for one in ids))
            return {id: int(at) for id, at in rows.filter(wanted).project("id, file_row_number").fetchall()}

    @property
    def settled(self) -> bool:
        """True once everybody who follows the current listing has come to this one."""
        return time.monotonic() - self._since > SETTLED_SECONDS

    def remember(self, items: Mapping[str, ListedItem]) -> None:
        """Keep items by id that are likely to be asked for soon."""
        with self._knowing:
            self._known.update(items)

    def known(self, ids: Sequence[str]) -> dict[str, ListedItem]:
        """Return those of these items that are kept."""
        with self._knowing:
            return {id: self._known[id] for id in ids if id in self._known}

    @cachedmethod(lambda self: self._found, condition=lambda self: self._finding)
    def positions(self, filter: str) -> NDArray[np.uint32]:
        """Return the positions of the items that a filter (canonical JSON) matches, in rising order."""
        with self.matching(json.loads(filter)) as con:
            found: Any = con.execute("SELECT file_row_number AS at FROM matching").fetchnumpy()["at"]
        positions: NDArray[np.uint32] = np.sort(found.astype(np.uint32))
        return positions

    @contextlib.contextmanager
    def matching(self, filter: Mapping[str, Any] | None) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection with the view `matching`: the rows that a filter matches, with their `file_row_number`.

        Raises BadFilterError, TransientError where too many others scan listings, ListingGoneError.
        """
        condition = to_sql(filter or {})
        with self._scan() as con:
            scan(con, self._path, row_number=True).filter(condition).create_view("matching")
            try:
                yield con
            except (duckdb.ConversionException, duckdb.ParserException, duckdb.BinderException) as error:
                if not filter:
                    raise
                raise BadFilterError(f"filter: {text_of(filter)[:200]} can't be used: {error}") from None

    @contextlib.contextmanager
    def _scan(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection that knows the MACROS, once it is this scan's turn."""
        if not _scanning.acquire(timeout=SCAN_PATIENCE):
            raise TransientError("too many visitors filter at the moment; try again in some seconds", retry_after=5)
        try:
            with self._there(), database() as con:
                con.execute(f"SET memory_limit = '{SCAN_MEMORY}'")
                spill_to(con, Path(tempfile.gettempdir()) / f"pinery-{uuid.uuid4().hex}")
                for macro in (_lowered(), *MACROS):
                    con.execute(macro)
                yield con
        finally:
            _scanning.release()

    @contextlib.contextmanager
    def _there(self) -> Iterator[None]:
        """Raise ListingGoneError where the file is not there any more."""
        try:
            yield
        except (FileNotFoundError, duckdb.IOException) as error:
            raise ListingGoneError(f"the listing {self.name} can't be read: {error}") from None
        except TerminalError as error:
            if isinstance(error, DamagedError):
                raise
            raise ListingGoneError(f"the listing {self.name} can't be read: {error}") from None

    def _places(self, positions: Sequence[int]) -> list[Place]:
        blocks = np.searchsorted(self._starts, np.asarray(positions, np.int64), "right") - 1
        if len(set(blocks.tolist())) > MOST_BLOCKS:
            return self._scattered(positions)
        return [self._place(position, block) for position, block in zip(positions, blocks.tolist(), strict=True)]

    def _place(self, position: int, block: int) -> Place:
        row = self._block(block).slice(position - int(self._starts[block]), 1).to_pylist()[0]
        return Place(position, ListedItem(row["id"], row["uri"], row["version"], json.loads(row["metadata"])))

    def _scattered(self, positions: Sequence[int]) -> list[Place]:
        """Return items that lie far apart: DuckDB reads less for them than their row groups hold."""
        columns = ", ".join(["file_row_number", *COLUMNS])
        with self._scan() as con:
            number = duckdb.ColumnExpression("file_row_number")
            wanted = number.isin(*(duckdb.ConstantExpression(position) for position in positions))
            found = scan(con, self._path, row_number=True).filter(wanted).project(columns).fetchall()
        return [Place(row[0], ListedItem(row[1], row[2], row[3], json.loads(row[4]))) for row in sorted(found)]

    @cachedmethod(lambda self: self._blocks, condition=lambda self: self._reading)
    def _block(self, number: int) -> pa.Table:
        with self._there(), open_parquet(self._path, self.name) as file:
            return file.read_row_group(number, columns=COLUMNS)


def text_of(filter: Mapping[str, Any] | None) -> str:
    """Return a filter as canonical JSON, by which answers are remembered."""
    return json.dumps(filter or {}, sort_keys=True)


def _lowered() -> str:
    """Return the macro that writes control characters in JSON as Python does."""
    text = "t"
    for escape in UPPER:
        text = f"replace({text}, '{escape}', '{escape.lower()}')"
    return f"CREATE MACRO lowered(t) AS CASE WHEN contains(t, '\\u00') THEN {text} ELSE t END"
