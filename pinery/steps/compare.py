"""Compare an index with the live rows: every id, and the vectors and metadata of a sample or of all."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pinery.checkpoint.parquet import TableWriter, stream
from pinery.duckdb_files import scan, write
from pinery.errors import ConfigError, RefusedError
from pinery.planning.differences import define_differences
from pinery.planning.guards import judge_deletes
from pinery.planning.plan import define_plan
from pinery.records import Stored
from pinery.steps.live_rows import live_rows
from pinery.steps.make_plan import Work, upsert_work
from pinery.steps.outage import settle
from pinery.steps.run import Run
from pinery.steps.tables import connect, define_tables
from pinery.steps.upsert_part import outlast

RELATIVE_TOLERANCE = 1e-6
SAMPLED_PARTS = 20
SAMPLED_ROWS = 1000
FETCHED_AT_ONCE = 1024
KINDS = ("missing", "extra", "stale", "wrong", "wrong_metadata")
DIFFERENCE_SCHEMA = pa.schema([("id", pa.string()), ("difference", pa.string())])
IDS_SCHEMA = pa.schema([("id", pa.string())])


@dataclass(frozen=True, slots=True)
class Comparison:
    """How an index differs from the live rows, in ids; each id counts once."""

    expected: int
    """Live rows that the index did not reject."""
    held: int
    """Ids that the index listed."""
    missing: int
    """Live, and not in the index."""
    extra: int
    """In the index, and not live."""
    stale: int
    """In the index, but the ledger says that another version or metadata was sent last, or doesn't know."""
    wrong: int
    """Another vector than the checkpoint's."""
    wrong_metadata: int
    """Other metadata than the listing's."""
    checked: int
    """Rows whose vector and metadata were fetched and compared."""
    awaited: int
    """Listed in a version that was not embedded yet: what the index holds of them stays, however old."""
    rounded: int
    """Of those compared, vectors that differ by rounding alone: within 1e-6 relative, but not equal as float32."""
    differences: Path | None = None
    """A local Parquet file of ids and what is wrong with each, where anything is."""

    @property
    def different(self) -> int:
        """Ids that differ in any way."""
        return self.missing + self.extra + self.stale + self.wrong + self.wrong_metadata

    def to_dict(self) -> dict[str, int]:
        """The counts by name."""
        counts = asdict(self)
        del counts["differences"]
        return counts


def compare(run: Run, listing: Path, full: bool) -> Comparison:
    """Compare the run's index with the live rows of `listing`; values of a sample, or with `full` of all rows.

    Raises ConfigError where the index doesn't exist.
    """
    index = run.corpus.index
    if outlast(run, index.describe) is None:
        raise ConfigError(f"index {index.name} doesn't exist; `pinery upsert CONFIG` makes and fills it")
    with run.stage("list ids"):
        settle(run)
        held = list_held(run)
    with run.stage("compare"), connect(run.scratch) as con:
        define_tables(con, listing, run.corpus.checkpoint, run.open_ledger)
        define_plan(con, limit=None, retry_quarantined=False)
        scan(con, held).create_view("held")
        define_differences(con)
        checked, rounded = _compare_values(run, con, _work(run, con, full))
        counts = dict(con.execute("SELECT difference, count(*) FROM difference GROUP BY difference").fetchall())
        [(expected, awaited)] = con.execute("""
            SELECT (SELECT count(*) FROM expected), (SELECT count(*) FROM state WHERE part IS NULL)
        """).fetchall()
        result = Comparison(
            expected=expected,
            held=pq.read_metadata(held).num_rows,
            **{kind: counts.get(kind, 0) for kind in KINDS},
            checked=checked,
            awaited=awaited,
            rounded=rounded,
        )
        if not result.different:
            return result
        path = run.scratch / "differences.parquet"
        write(con, "SELECT id, difference FROM difference ORDER BY id", path)
        return replace(result, differences=path)


def mark_differences(run: Run, comparison: Comparison, allow_deletes: bool) -> None:
    """Note in the ledger that nothing is known of the ids that differ, so that a plan upserts or deletes them.

    Raises RefusedError where more ids would be deleted than the delete_guard lets pass.
    """
    if comparison.differences is None:
        return
    reasons = [] if allow_deletes else judge_deletes(comparison.extra, comparison.held, run.settings.delete_guard)
    if reasons:
        raise RefusedError(f"corpus {run.corpus.config.corpus}: {reasons[0]}. Nothing was changed")
    for batch in stream(comparison.differences, ["id"], 16384):
        run.check()
        run.open_ledger.intend(batch["id"], run.scratch)


def difference_of(stored: Stored | None, values: np.ndarray[Any, Any], metadata: Mapping[str, Any]) -> str | None:
    """What is wrong with a stored row, one of `KINDS`, or None.

    `values` has shape (dimension,). They may differ by 1e-6 relative; numbers in metadata are compared as float64.
    """
    if stored is None:
        return "missing"
    # numpy would stretch a vector of one value to any length, and fail at other lengths.
    if len(stored.values) != len(values) or not np.allclose(stored.values, values, rtol=RELATIVE_TOLERANCE, atol=0):
        return "wrong"
    return None if _same(stored.metadata, metadata) else "wrong_metadata"


def list_held(run: Run) -> Path:
    """A local Parquet file of all ids in the run's index."""
    path, pages = run.scratch / "held.parquet", run.corpus.index.list_ids()
    with TableWriter(path, IDS_SCHEMA) as writer:
        while (page := outlast(run, lambda: next(pages, None))) is not None:
            writer.append(pa.record_batch([pa.array(page, pa.string())], schema=IDS_SCHEMA))
            run.advance("list ids", len(page))
    return path


def _work(run: Run, con: duckdb.DuckDBPyConnection, full: bool) -> tuple[Work, ...]:
    """The rows to fetch, as ranges of a file, a range a part: all that seem right, or a sample of them."""
    path = run.scratch / "compare.parquet"
    seed = random.Random(run.name).randrange(1 << 30)
    con.execute(
        "CREATE TABLE sound AS SELECT part, position, metadata_hash FROM expected ANTI JOIN difference USING (id)"
    )
    if not full:
        con.execute(f"""
            CREATE TABLE sampled AS SELECT part, position, metadata_hash FROM sound
            WHERE part IN (SELECT part FROM (SELECT DISTINCT part FROM sound)
                           ORDER BY hash(part || '{seed}') LIMIT {SAMPLED_PARTS})
            ORDER BY hash(position + {seed}) LIMIT {SAMPLED_ROWS}
        """)
    return upsert_work(con, path, "sound" if full else "sampled")


def _compare_values(run: Run, con: duckdb.DuckDBPyConnection, work: tuple[Work, ...]) -> tuple[int, int]:
    """Enter what differs in the table `difference`; return how many rows were compared, and rounded."""
    checked = rounded = 0
    path = run.scratch / "found.parquet"
    with TableWriter(path, DIFFERENCE_SCHEMA) as writer:
        for rows, found in _fetched(run, work):
            values: Any = rows["values"]
            matrix = values.flatten().to_numpy(zero_copy_only=False).reshape(rows.num_rows, -1)
            texts: list[str] = rows["metadata"].to_pylist()  # type: ignore[assignment]  # never null
            different: list[tuple[str, str]] = []
            for at, row_id in enumerate(rows["id"].to_pylist()):
                stored = found.get(str(row_id))
                kind = difference_of(stored, matrix[at], json.loads(texts[at]))
                if kind is not None:
                    different.append((str(row_id), kind))
                elif stored is not None and not np.array_equal(np.asarray(stored.values, np.float32), matrix[at]):
                    rounded += 1
            checked += rows.num_rows
            ids, kinds = ([one[0] for one in different], [one[1] for one in different])
            writer.append(
                pa.record_batch([pa.array(ids, pa.string()), pa.array(kinds, pa.string())], ["id", "difference"])
            )
            run.advance("compare", rows.num_rows)
    scan(con, path).insert_into("difference")
    return checked, rounded


def _fetched(run: Run, work: tuple[Work, ...]) -> Iterator[tuple[pa.RecordBatch, dict[str, Stored]]]:
    """Live rows, and what the index holds of them, some at a time."""
    index = run.corpus.index
    size = max(64, FETCHED_AT_ONCE // index.max_concurrency)

    def fetch(rows: pa.RecordBatch) -> dict[str, Stored]:
        ids = [str(row_id) for row_id in rows["id"].to_pylist()]
        return outlast(run, lambda: index.fetch(ids))

    with ThreadPoolExecutor(index.max_concurrency, thread_name_prefix="compare") as pool:
        for one in work:
            for batch in live_rows(run.corpus.checkpoint, one):
                slices = [batch.slice(start, size) for start in range(0, batch.num_rows, size)]
                yield from zip(slices, pool.map(fetch, slices), strict=True)


def _same(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)


def _equal(left: Any, right: Any) -> bool:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (left, right))
    return math.isclose(left, right, rel_tol=0, abs_tol=0) if numbers else type(left) is type(right) and left == right
