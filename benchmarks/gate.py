"""Exact search over a checkpoint and the gate's statistics: time and memory, beside a scan that loads all vectors.

python benchmarks/gate.py [--rows N]

The vectors lie in real part files, and the listing beside them. Each contestant is a process of its own that finds the
ten neighbours of the same queries, ours part by part, the peer's in one matrix of all vectors. Peak memory is that of
the process beyond what it had once everything was imported.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
from measuring.child import child
from measuring.machine import keep, table
from verify import DIMENSION, PART_ROWS, listed, write_part

from pinery.checkpoint.listings import write_listing
from pinery.checkpoint.parts import Checkpoint, part_name
from pinery.checkpoint.store import LocalStore
from pinery.corpus.tables import planned
from pinery.planning.gate import Pair, compare_labels, compared, most_changed
from pinery.planning.nearest import Nearest
from pinery.reports import Neighbour
from pinery.steps.live_vectors import live_vectors
from pinery.steps.neighbours import exact_neighbours

QUERIES = (200, 800)
NEIGHBOURS, ROUNDS = 10, 3


def write_state(folder: Path, rows: int) -> None:
    """Write a listing of so many items, and their vectors as parts."""
    write_listing(listed(rows), folder / "listing.parquet", lambda _: None)
    checkpoint = Checkpoint(LocalStore(folder / "state"), "parts")
    for number, start in enumerate(range(0, rows, PART_ROWS)):
        write_part(folder / "part", start, min(start + PART_ROWS, rows), checksums=True)
        checkpoint.publish(part_name(number), folder / "part")


def asked_of(folder: Path, queries: int) -> list[str]:
    """Return the ids of the queries, evenly spread over the listing."""
    ids = pq.read_table(folder / "listing.parquet", columns=["id"])["id"].to_pylist()
    return [str(ids[at]) for at in np.linspace(0, len(ids) - 1, queries).astype(int)]


def stream(folder: Path, ids: list[str]) -> Callable[[], Any]:
    """Return our search."""
    checkpoint = Checkpoint(LocalStore(folder / "state"), "parts")

    def search() -> dict[str, list[str]]:
        with planned(folder, folder / "listing.parquet", checkpoint, None) as con:
            rows = live_vectors(con, checkpoint, folder / "live.parquet")
        found = exact_neighbours(rows, ids, "cosine", lambda _: None)
        return {id: [one.id for one in nearest] for id, nearest in zip(ids, found.neighbours, strict=True)}

    return search


def load_all(folder: Path, ids: list[str]) -> Callable[[], Any]:
    """Return the search that a notebook would do: every vector in one matrix, every score at once."""

    def search() -> dict[str, list[str]]:
        whole = pq.read_table(folder / "state" / "parts", columns=["id", "values"])
        names = whole["id"].to_pylist()
        matrix = whole["values"].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(names), -1)
        del whole
        matrix = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
        place = {name: at for at, name in enumerate(names)}
        scores = matrix[[place[id] for id in ids]] @ matrix.T
        best = np.argpartition(scores, -NEIGHBOURS - 1, axis=1)[:, -NEIGHBOURS - 1 :]
        best = np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1), 1)
        found = zip(ids, best, strict=True)
        return {id: [names[at] for at in row if names[at] != id][:NEIGHBOURS] for id, row in found}

    return search


def statistics(found: dict[str, list[str]]) -> float:
    """Return the seconds of the gate's statistics, where the new model's lists are the old one's without their first.

    Every item has one of ten labels: the last digit of its number.
    """
    lists = {id: [Neighbour(one, 1 / at) for at, one in enumerate(nearest, 1)] for id, nearest in found.items()}
    labels = {one: one[-5] for nearest in found.values() for one in nearest} | dict.fromkeys(found, "1")
    began = time.perf_counter()
    pairs = [Pair(id, nearest, nearest[1:]) for id, nearest in lists.items()]
    most_changed([compared(one) for one in pairs])
    compare_labels(pairs, labels, 0.95)
    return time.perf_counter() - began


CONTESTANTS = {"part by part": stream, "all vectors in memory": load_all}


def measure(name: str, folder: Path, queries: int) -> None:
    """Search once, in this process, and print what was found, the seconds and the peak MiB."""
    search = CONTESTANTS[name](folder, asked_of(folder, queries))
    # The products' threads and DuckDB's are there from the first use on, whoever uses them.
    Nearest(np.ones((2, DIMENSION), np.float32), 1).add(["a"], np.ones((1, DIMENSION), np.float32))
    duckdb.sql("SELECT 1").fetchall()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    found = search()
    seconds = time.perf_counter() - began
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(json.dumps({"seconds": seconds, "peak": peak, "found": found, "statistics": statistics(found)}))


def main() -> None:
    """Measure each contestant in turn, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pinery-gate-") as name:
        folder = Path(name)
        write_state(folder, given.rows)
        rows, spent = [], []
        for queries in QUERIES:
            taken: dict[str, list[dict[str, Any]]] = {contestant: [] for contestant in CONTESTANTS}
            for _ in range(ROUNDS):
                for contestant in CONTESTANTS:
                    one = child(Path(sys.executable), "gate.py", "--one", contestant, folder, queries)
                    taken[contestant].append(one)
            ours, theirs = (taken[contestant][0]["found"] for contestant in CONTESTANTS)
            if ours != theirs:
                raise SystemExit(f"{sum(ours[id] != theirs[id] for id in ours)} queries have other neighbours")
            for contestant, some in taken.items():
                seconds = sorted(one["seconds"] for one in some)
                peak = max(one["peak"] for one in some)
                span = f"{seconds[0]:.1f} to {seconds[-1]:.1f}"
                rows.append([f"{queries}", contestant, f"{seconds[len(seconds) // 2]:.1f}", span, f"{peak:,.0f}"])
            spent.append(f"{taken['part by part'][0]['statistics']:.2f} s for {queries} queries")
    keep(
        "gate",
        "Exact search for the gate",
        ["numpy", "pyarrow", "duckdb"],
        f"The ten nearest of {given.rows:,} vectors of {DIMENSION} dimensions in parts of {PART_ROWS:,} rows, by the"
        " cosine; part by part includes finding out which rows are live. Both find the same neighbours in the same"
        f" order. Seconds are medians of {ROUNDS} processes in turn; memory is the most that one of them needed beyond"
        " its imports.\n\n"
        + table(["queries", "vectors", "seconds", "from to", "peak MiB"], rows)
        + f"\n\nJaccard, RBO, precision and 2,000 bootstrap resamples take {', '.join(spent)}.",
    )


if __name__ == "__main__":
    if "--one" in sys.argv:
        measure(sys.argv[-3], Path(sys.argv[-2]), int(sys.argv[-1]))
    else:
        main()
