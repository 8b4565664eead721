"""The facets of a corpus: which values its metadata has and how often, counted once for each listing and filter."""

from __future__ import annotations

import itertools
import json
import math
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from typing import TYPE_CHECKING, Any

import duckdb
from cachetools import LRUCache

from pinery.errors import TransientError
from pinery.web.catalogue import Listed, text_of

if TYPE_CHECKING:
    from pinery.web.site import ShownCorpus

MOST_FACETS, MOST_VALUES, BINS = 40, 20, 10
"""The fields that most items have, the commonest values of each, and the ranges of numbers."""
KEPT, MOST_WAITING = 64, 32
"""Counts that are remembered, and those that may wait to be made."""
WAIT = 10.0
POLL_SECONDS = 0.05
"""The time between two looks at whether counts are there."""
COUNTED = """
CREATE TEMP TABLE counted AS
WITH found AS (
    SELECT unnest(range(len($pointers))) AS field, unnest(json_extract_path(metadata, $pointers::VARCHAR[])) AS v
    FROM matching
), tallied AS (
    SELECT field, v, json_type(v) AS type, count(*) AS n FROM found WHERE v IS NOT NULL GROUP BY ALL
), single AS (
    SELECT field, type, v, n FROM tallied WHERE type NOT IN ('ARRAY', 'NULL')
    UNION ALL
    SELECT field, 'ARRAY', unnest(list_distinct(json_extract_path(v, '$[*]'))), n FROM tallied WHERE type = 'ARRAY'
), told AS (
    SELECT field, n, type = 'ARRAY' AS listed, type IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE') AS numeric,
           CASE WHEN numeric THEN CAST(CAST(v AS DOUBLE) AS VARCHAR) ELSE CAST(v AS VARCHAR) END AS value
    FROM single
)
SELECT field, listed, numeric, value, sum(n) AS n FROM told GROUP BY ALL
"""
"""Counts each value of each field: the value as JSON, a number as a float, a list by its members."""
KEYS = """
SELECT k, count(*) FROM (SELECT unnest(json_keys(metadata)) AS k FROM matching)
GROUP BY k ORDER BY count(*) DESC, k LIMIT ?
"""
FIELDS = """
SELECT field, count(*), bool_or(listed), bool_and(numeric),
       min(TRY_CAST(value AS DOUBLE)) FILTER (numeric), max(TRY_CAST(value AS DOUBLE)) FILTER (numeric)
FROM counted GROUP BY field
"""
RANGES = """
SELECT edges.place, sum(n) FROM (
    SELECT TRY_CAST(value AS DOUBLE) AS number, n FROM counted WHERE field = $field
) AS numbers ASOF JOIN (
    SELECT unnest($edges::DOUBLE[]) AS edge, unnest(range(len($edges))) AS place
) AS edges ON numbers.number >= edges.edge GROUP BY edges.place
"""
COMMONEST = """
SELECT value, numeric, sum(n) AS n FROM counted WHERE field = $field AND starts_with(
    lower(CASE WHEN numeric THEN regexp_replace(value, '\\.0$', '') ELSE json_extract_string(value, '$') END),
    lower($begin)
) GROUP BY ALL ORDER BY n DESC, value LIMIT $most
"""


class NotCountedError(TransientError):
    """The facets that were asked for are still being counted."""


class Counting:
    """Counts facets on one thread, and remembers them. Safe to use from several threads."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "pinery-facets")
        self._lock = threading.Lock()
        self._known: LRUCache[tuple[str, ...], Any] = LRUCache(KEPT)
        self._waiting: dict[tuple[str, ...], Future[Any]] = {}

    def counted(self, key: tuple[str, ...], count: Callable[[], Any], wait: float) -> Any:
        """Return what `count` returns for a key, None where it isn't there within `wait` seconds.

        Raises what `count` raises, and TransientError where too many counts wait.
        """
        with self._lock:
            if key in self._known:
                return self._known[key]
            future = self._waiting.get(key)
            if future is None:
                if len(self._waiting) >= MOST_WAITING:
                    raise TransientError("too many filters are being counted; try again in some seconds", retry_after=5)
                future = self._waiting[key] = self._thread.submit(self._count, key, count)
        try:
            return future.result(wait)
        except NotYet:
            return None

    def close(self) -> None:
        """End the thread after the count that it is at."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _count(self, key: tuple[str, ...], count: Callable[[], Any]) -> Any:
        try:
            found = count()
            with self._lock:
                self._known[key] = found
            return found
        finally:
            with self._lock:
                self._waiting.pop(key, None)


def of(shown: ShownCorpus, filter: Mapping[str, Any] | None = None, *, wait: float = WAIT) -> dict[str, Any]:
    """Return the `facets` of the items that a filter matches, and their `total`; `ready` is False after `wait` seconds.

    The facets are those that most items have, those with few values first. A facet of `numbers` has the ends of its
    values, and ranges of a round width, each from `low` on and below `high`. Raises BadFilterError, TransientError.
    """

    def read(listed: Listed) -> dict[str, Any] | None:
        key = (shown.name, listed.name, "facets", text_of(filter))
        found: dict[str, Any] | None = shown.counting.counted(key, lambda: _facets(listed, filter), wait)
        return found

    listed = shown.catalogue.now()
    if listed is None:
        return {"ready": True, "total": 0, "facets": []}
    found = shown.catalogue.ask(read)
    return {"ready": True, **found} if found else {"ready": False, "total": listed.rows, "facets": []}


def values(
    shown: ShownCorpus, key: str, starts_with: str = "", filter: Mapping[str, Any] | None = None, *, wait: float = WAIT
) -> list[dict[str, Any]]:
    """Return the commonest values of one field that begin so, whatever the case, each with its `value` and `count`.

    Raises BadFilterError, NotCountedError where they are not counted within `wait` seconds, TransientError.
    """

    def read(listed: Listed) -> list[dict[str, Any]]:
        name = (shown.name, listed.name, "values", key, starts_with, text_of(filter))
        found: list[dict[str, Any]] | None = shown.counting.counted(
            name, lambda: _values(listed, key, starts_with, filter), wait
        )
        if found is None:
            raise NotCountedError("the values are still being counted; try again in some seconds", retry_after=2)
        return found

    return shown.catalogue.ask(read) or []


def _facets(listed: Listed, filter: Mapping[str, Any] | None) -> dict[str, Any]:
    with listed.matching(filter) as con:
        total = con.execute("SELECT count(*) FROM matching").fetchall()[0][0]
        held = {str(key): int(n) for key, n in con.execute(KEYS, [MOST_FACETS]).fetchall()}
        keys = list(held)
        if not keys:
            return {"total": total, "facets": []}
        con.execute(COUNTED, {"pointers": [_pointer(key) for key in keys]})
        found = [_facet(con, keys[row[0]], *row) for row in con.execute(FIELDS).fetchall()]
    found.sort(key=lambda one: (-held[one["key"]], one["distinct"], one["key"]))
    return {"total": total, "facets": found}


def _facet(
    con: duckdb.DuckDBPyConnection, key: str, field: int, distinct: int, lists: bool, numbers: bool, low: Any, high: Any
) -> dict[str, Any]:
    kind = "lists" if lists else "numbers" if numbers else "values"
    facet = {"key": key, "kind": kind, "distinct": distinct, "values": _commonest(con, field)}
    ranges = _ranges(con, field, low, high) if kind == "numbers" else {"low": None, "high": None, "bins": []}
    return facet | ranges


def _commonest(con: duckdb.DuckDBPyConnection, field: int, starts_with: str = "") -> list[dict[str, Any]]:
    rows = con.execute(COMMONEST, {"field": field, "begin": starts_with, "most": MOST_VALUES}).fetchall()
    return [
        {"value": _number(float(value)) if numeric else json.loads(value), "count": int(n)}
        for value, numeric, n in rows
    ]


def _ranges(con: duckdb.DuckDBPyConnection, field: int, low: float, high: float) -> dict[str, Any]:
    edges = _edges(low, high)
    asked = {"edges": edges, "field": field}
    counts = {int(place): int(n) for place, n in con.execute(RANGES, asked).fetchall()}
    bins = [
        {"low": _number(start), "high": _number(end), "count": counts.get(place, 0)}
        for place, (start, end) in enumerate(itertools.pairwise(edges))
    ]
    return {"low": _number(low), "high": _number(high), "bins": bins}


def _edges(low: float, high: float) -> list[float]:
    """Return the rising edges of ranges that hold an interval, its upper end before the last edge; they are round."""
    rough = (high - low) / BINS
    if not 1e-300 < rough < 1e300:
        return [low, max(low + 1, math.nextafter(high, math.inf))]
    power = math.floor(math.log10(rough))
    width = next(factor * 10.0**power for factor in (1, 2, 5, 10, 20) if factor * 10.0**power >= rough)
    first = math.floor(low / width)
    edges = sorted({round((first + place) * width, max(0, 1 - power)) for place in range(BINS + 3)})
    begin = max((edge for edge in edges if edge <= low), default=low)
    end = min((edge for edge in edges if edge > high), default=math.nextafter(high, math.inf))
    return [begin, *(edge for edge in edges if low < edge <= high), end]


def _values(listed: Listed, key: str, starts_with: str, filter: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    with listed.matching(filter) as con:
        con.execute(COUNTED, {"pointers": [_pointer(key)]})
        return _commonest(con, 0, starts_with)


def _pointer(key: str) -> str:
    """Return the JSON pointer of a key of an object."""
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _number(value: float) -> float:
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
