"""Compare an index with the live rows: every id, and the vectors and metadata of a sample or of all."""

import json
import random
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pinery.checkpoint.root import keep_newest
from pinery.corpus.outage import retry_through_outage, settle
from pinery.corpus.run import HeldTarget
from pinery.duckdb_files import scan, write
from pinery.errors import ConfigError, RefusedError
from pinery.parquet.files import TableWriter, stream
from pinery.planning.differences import define_differences
from pinery.planning.guards import judge_deletes
from pinery.records import Stored, Work
from pinery.reports import Comparison, VerifyReport
from pinery.steps.live_rows import live_rows
from pinery.steps.planned_rows import upsert_work

RELATIVE_TOLERANCE = 1e-6
SAMPLED_PARTS = 20
SAMPLED_ROWS = 1000
FETCHED_AT_ONCE = 1024
KEPT_COMPARISONS = 7
KINDS = ("missing", "extra", "stale", "wrong", "wrong_metadata")
DIFFERENCE_SCHEMA = pa.schema([("id", pa.string()), ("difference", pa.string())])
IDS_SCHEMA = pa.schema([("id", pa.string())])


@dataclass(frozen=True, slots=True)
class Compared:
    """The differences between an index and the live rows."""

    counts: Comparison
    differences: Path | None
    """A local Parquet file of the ids that differ (DIFFERENCE_SCHEMA); None if there are none."""


def compare(held: HeldTarget, listing: Path, full: bool) -> Compared:
    """Compare the target's index with the live rows of `listing`; values of a sample, or with `full` of all rows.

    Raises ConfigError where the index doesn't exist.
    """
    index = held.index
    if retry_through_outage(held, index.describe) is None:
        raise ConfigError(f"index {index.name} doesn't exist; `pinery upsert CONFIG` makes and fills it")
    with held.run.stage("list ids"):
        settle(held)
        listed = list_held(held)
    with held.run.stage("compare"), held.planned(listing) as con:
        scan(con, listed).create_view("held")
        define_differences(con)
        checked, rounded = _compare_values(held, con, _work(held, con, full))
        counts = dict(con.execute("SELECT difference, count(*) FROM difference GROUP BY difference").fetchall())
        [(expected, awaited)] = con.execute("""
            SELECT (SELECT count(*) FROM expected), (SELECT count(*) FROM items WHERE part IS NULL)
        """).fetchall()
        result = Comparison(
            expected=expected,
            held=pq.read_metadata(listed).num_rows,
            **{kind: counts.get(kind, 0) for kind in KINDS},
            checked=checked,
            awaited=awaited,
            rounded=rounded,
        )
        if not result.different:
            return Compared(result, None)
        path = held.scratch / "differences.parquet"
        write(con, "SELECT id, difference FROM difference ORDER BY id", path)
        return Compared(result, path)


def mark_differences(held: HeldTarget, compared: Compared, allow_deletes: bool) -> None:
    """Note in the ledger that nothing is known of the ids that differ, so that a plan upserts or deletes them.

    Raises RefusedError where more ids would be deleted than the delete_guard lets pass.
    """
    if compared.differences is None:
        return
    counts = compared.counts
    reasons = [] if allow_deletes else judge_deletes(counts.extra, counts.held, held.settings.delete_guard)
    if reasons:
        raise RefusedError(f"corpus {held.target.corpus}: {reasons[0]}. Nothing was changed")
    for batch in stream(compared.differences, ["id"], 16384):
        with held.writing():
            held.ledger.intend(batch["id"], held.scratch)


def publish_comparison(
    held: HeldTarget, compared: Compared, full: bool, repaired: Mapping[str, int] | None
) -> VerifyReport:
    """Return the report of a comparison, with the ids that differ published as a file of the state."""
    run, target, differences = held.run, held.target, None
    if compared.differences is not None:
        paths = run.corpus.paths
        name = paths.differences(run.name)
        held.check()
        target.store.publish(name, compared.differences)
        keep_newest(target.store, paths.comparisons, KEPT_COMPARISONS)
        differences = f"{target.store.root}/{name}"
    entry = target.entry
    return VerifyReport(
        run=run.name,
        corpus=target.corpus,
        model_key=entry.card.key,
        kind=entry.kind,
        index=entry.name,
        namespace=entry.namespace,
        full=full,
        counts=compared.counts,
        differences=differences,
        repaired=repaired,
        seconds={name: round(value, 3) for name, value in run.seconds.items()},
    )


def difference_of(stored: Stored | None, values: np.ndarray[Any, Any], metadata: Mapping[str, Any]) -> str | None:
    """Return the kind of difference of a stored row, one of `KINDS`, or None.

    `values` has shape (dimension,). They may differ by 1e-6 relative; numbers in metadata are compared as float64.
    """
    if stored is None:
        return "missing"
    # numpy would stretch a vector of one value to any length, and fail at other lengths.
    if len(stored.values) != len(values) or not np.allclose(stored.values, values, rtol=RELATIVE_TOLERANCE, atol=0):
        return "wrong"
    return None if _same(stored.metadata, metadata) else "wrong_metadata"


def list_held(held: HeldTarget) -> Path:
    """Return a local Parquet file of all ids in the index."""
    path, pages = held.scratch / "held.parquet", held.index.list_ids()
    with TableWriter(path, IDS_SCHEMA) as writer:
        while (page := retry_through_outage(held, lambda: next(pages, None))) is not None:
            writer.append(pa.record_batch([pa.array(page, pa.string())], schema=IDS_SCHEMA))
            held.run.advance("list ids", len(page))
    return path


def _work(held: HeldTarget, con: duckdb.DuckDBPyConnection, full: bool) -> tuple[Work, ...]:
    """Return the rows to fetch, as ranges of a file, a range a part: all that seem right, or a sample of them."""
    path = held.scratch / "compare.parquet"
    seed = random.Random(held.run.name).randrange(1 << 30)
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


def _compare_values(held: HeldTarget, con: duckdb.DuckDBPyConnection, work: tuple[Work, ...]) -> tuple[int, int]:
    """Enter what differs in the table `difference`; return how many rows were compared, and how many are rounded."""
    checked = rounded = 0
    path = held.scratch / "found.parquet"
    with TableWriter(path, DIFFERENCE_SCHEMA) as writer:
        for rows, found in _fetched(held, work):
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
            held.run.advance("compare", rows.num_rows)
    scan(con, path).insert_into("difference")
    return checked, rounded


def _fetched(held: HeldTarget, work: tuple[Work, ...]) -> Iterator[tuple[pa.RecordBatch, dict[str, Stored]]]:
    """Yield live rows, some at a time, each batch with what the index holds of it."""
    index = held.index
    size = max(64, FETCHED_AT_ONCE // index.max_concurrency)

    def fetch(rows: pa.RecordBatch) -> dict[str, Stored]:
        ids = [str(row_id) for row_id in rows["id"].to_pylist()]
        return retry_through_outage(held, lambda: index.fetch(ids))

    with ThreadPoolExecutor(index.max_concurrency, thread_name_prefix="compare") as pool:
        for one in work:
            for batch in live_rows(held.target.checkpoint, one):
                slices = [batch.slice(start, size) for start in range(0, batch.num_rows, size)]
                yield from zip(slices, pool.map(fetch, slices), strict=True)


def _same(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)


def _equal(left: Any, right: Any) -> bool:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (left, right))
    return float(left) == float(right) if numbers else type(left) is type(right) and bool(left == right)
