"""Queries by id through one open searcher at a steady rate, over the embedded index; a plain NumPy scan beside it.

Run as `python benchmarks/search.py [--rows N] [--rate R] [--seconds S]`; writes benchmarks/results/search.md. Queries
arrive at their times whether or not earlier ones are answered, and a latency counts from a query's time of arrival.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from measuring.machine import keep, table
from numpy.typing import NDArray

import pinery
from pinery.checkpoint.alias import Alias, write_alias
from pinery.checkpoint.listings import write_listing
from pinery.config_file import load_config
from pinery.corpus.corpus import Corpus
from pinery.corpus.open_run import open_run
from pinery.parquet.files import part_writer
from pinery.planning.nearest import Nearest
from pinery.records import LISTING_SCHEMA, PART_SCHEMA
from pinery.steps.find_index import ensure_index, find_index
from pinery.steps.list_items import Listing, publish_listing
from pinery.steps.make_plan import PlanOptions, make_plan
from pinery.steps.refusals import Refusals
from pinery.steps.upsert_part import upsert_part

PART_ROWS, DIMENSION, BATCH = 16384, 512, 4096
CENTRES, SPREAD = 1000, 0.7
"""The vectors lie about so many centres; the spread is relative to the distance of a centre from the middle."""
TOP_K, THREADS, WARM = 10, 16, 40


def name_of(number: int) -> str:
    """Return the id of an item."""
    return f"photos/{number:07}.jpg"


def vectors(first: int, last: int) -> NDArray[np.float32]:
    """Return the vectors of items `first` to `last`, of length 1: shape (items, DIMENSION), float32."""
    centres = np.random.default_rng(1).normal(size=(CENTRES, DIMENSION))
    chooser = np.random.default_rng([2, first])
    found = centres[chooser.integers(0, CENTRES, last - first)]
    found = found + SPREAD * chooser.normal(size=found.shape)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def batches(rows: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last number of each batch of items."""
    for first in range(0, rows, BATCH):
        yield first, min(first + BATCH, rows)


def write_part(path: Path, start: int, stop: int) -> None:
    """Write a part with the vectors of items `start` to `stop`; `start` begins a batch."""
    with part_writer(path, DIMENSION) as writer:
        for first, last in ((start + a, start + b) for a, b in batches(stop - start)):
            values = vectors(first, last)
            offsets = pa.array(np.arange(0, values.size + 1, DIMENSION), pa.int32())
            column = pa.ListArray.from_arrays(offsets, pa.array(values.ravel()), type=PART_SCHEMA.field("values").type)
            ids, sums = [name_of(n) for n in range(first, last)], [f"{n:064x}" for n in range(first, last)]
            nothing = pa.nulls(len(ids), pa.string())
            columns = [pa.array(ids), pa.array(["1"] * len(ids)), pa.array(sums), column, nothing]
            writer.append(pa.record_batch(columns, schema=PART_SCHEMA))


def listed(rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the items as a source lists them."""
    for first, last in batches(rows):
        items = [
            {"id": name_of(n), "uri": f"file:///{name_of(n)}", "version": "1", "bytes": 1} for n in range(first, last)
        ]
        yield pa.RecordBatch.from_pylist([one | {"metadata": '{"label":"photo"}'} for one in items], LISTING_SCHEMA)


def fill(settings: dict[str, Any], rows: int) -> None:
    """Bring an embedded index to so many items, and make it live."""
    with open_run(Corpus(load_config(settings))) as run:
        held, scratch = run.main, run.main.scratch
        for number, start in enumerate(range(0, rows, PART_ROWS)):
            write_part(scratch / "part", start, min(start + PART_ROWS, rows))
            held.target.checkpoint.publish(f"part-{number:08d}", scratch / "part")
        write_listing(listed(rows), scratch / "listing.parquet", lambda _: None)
        find_index(held)
        plan = make_plan(held, scratch / "listing.parquet", PlanOptions())
        publish_listing(run, Listing(scratch / "listing.parquet"))
        ensure_index(held)
        for work in plan.upsert:
            upsert_part(held, work, Refusals(held, None))
        held.index.settle()
        alias = Alias().with_live(held.target.entry, "2026-01-01T00:00:00+00:00", "benchmark")
        write_alias(run.corpus.store, run.corpus.paths.alias, alias, None)


def at_a_rate(ask: Callable[[int], object], queries: Sequence[int], rate: float, threads: int) -> list[float]:
    """Ask each query at its time, `rate` a second, and return the milliseconds from then to its answer."""
    start = time.perf_counter() + 0.1

    def answer(place: int) -> float:
        due = start + place / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        ask(queries[place])
        return 1000 * (time.perf_counter() - due)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(answer, range(len(queries))))


def measure(settings: dict[str, Any], rows: int, rate: float, seconds: float) -> dict[str, Any]:
    """Return latencies, by the searcher and by a scan of a matrix in memory, and the searcher's recall."""
    chooser = np.random.default_rng(3)
    queries = chooser.integers(0, rows, int(rate * seconds)).tolist()
    process = psutil.Process()
    with pinery.open(settings).searcher() as searcher:
        before = time.perf_counter()
        searcher.by_id(name_of(0), top_k=TOP_K)
        first = time.perf_counter() - before
        for number in range(WARM):
            searcher.by_id(name_of(number), top_k=TOP_K)
        searcher.settle()
        cpu = sum(process.cpu_times()[:2])
        ours = at_a_rate(lambda n: searcher.by_id(name_of(n), top_k=TOP_K), queries, rate, THREADS)
        cpu = (sum(process.cpu_times()[:2]) - cpu) / len(queries)
        asked = queries[:200]
        found = [{hit.id for hit in searcher.by_id(name_of(n), top_k=TOP_K)} for n in asked]
    matrix = np.concatenate([vectors(*one) for one in batches(rows)])
    nearest = Nearest(matrix[asked], TOP_K)
    for first_row, last in batches(rows):
        nearest.add([name_of(n) for n in range(first_row, last)], matrix[first_row:last])
    exact = [{one.id for one in some} for some in nearest.found()]
    recall = statistics.mean(len(some & other) / TOP_K for some, other in zip(exact, found, strict=True))

    scan = warm_scan(matrix)
    theirs = at_a_rate(scan, queries, rate, 1)  # the product uses all cores itself
    return {"ours": ours, "theirs": theirs, "recall": recall, "first": first, "cpu": cpu}


def warm_scan(matrix: NDArray[np.float32]) -> Callable[[int], list[int]]:
    """Return a function that finds the TOP_K rows nearest to a row of a matrix (rows, dimension), by looking at all."""

    def scan(number: int) -> list[int]:
        scores = matrix @ matrix[number]
        best = np.argpartition(scores, -TOP_K)[-TOP_K:]
        return list(best[np.argsort(-scores[best])])

    for number in range(WARM):
        scan(number)
    return scan


def one_command(settings: dict[str, Any], folder: Path) -> list[float]:
    """Return the seconds of `pinery search --id` as a process of its own, five times."""
    import yaml

    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "flows.cli", "search", str(config), "--id", name_of(7), "--json"]
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).parent.parent)
        taken.append(time.perf_counter() - start)
    return taken


def main() -> None:
    """Fill an index, ask, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=20)
    parser.add_argument("--seconds", type=float, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        model = {"name": "descriptor", "decode": "exact", "precision": "fp32"}
        source = {"kind": "folder", "path": name}
        settings = {"corpus": "test", "source": source, "model": model, "state": f"{name}/state"}
        fill(settings, given.rows)
        found = measure(settings, given.rows, given.rate, given.seconds)
        commands = one_command(settings, Path(name))
    rows = [
        [what, *(f"{np.quantile(found[key], share):,.1f}" for share in (0.5, 0.9, 0.99, 1))]
        for what, key in (("by id, through a searcher", "ours"), ("NumPy, the matrix in memory", "theirs"))
    ]
    keep(
        "search",
        "Searching by id",
        ["lancedb", "numpy", "pyarrow"],
        f"{given.rows:,} vectors of {DIMENSION} dimensions about {CENTRES:,} centres in the embedded index, searched by"
        f" id for the nearest {TOP_K}; {given.rate:g} queries a second for {given.seconds:g} s, in milliseconds. A"
        " query by id fetches the item's vector, searches, and finds the hits' addresses and strengths; the scan is"
        " one product of matrix and vector at a time, without either.\n\n"
        + table(["", "p50", "p90", "p99", "longest"], rows)
        + f"\n\nRecall@10 against exact search {found['recall']:.4f} (200 queries). The first query of the process took"
        f" {found['first']:.2f} s, each later one {1000 * found['cpu']:.1f} ms of CPU time. `pinery search --id` as a"
        f" command took {statistics.median(commands):.2f} s ({min(commands):.2f} to {max(commands):.2f} in five).",
    )


if __name__ == "__main__":
    main()
