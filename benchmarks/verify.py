"""The cost of checksums in `pinery verify --full`, over an embedded index filled from a checkpoint.

Run as `python benchmarks/verify.py [--rows N] [--rounds N]`; writes benchmarks/results/verify.md. The same vectors lie
in parts with checksums and in parts without; the comparison with either is made in turn.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from measuring.machine import keep, table

from pinery.checkpoint.listings import write_listing
from pinery.config_file import load_config
from pinery.corpus.corpus import Corpus
from pinery.corpus.open_run import open_run
from pinery.corpus.run import HeldTarget
from pinery.corpus.stored import current_listing
from pinery.parquet.files import TableWriter, vector_row_group
from pinery.records import LISTING_SCHEMA, PART_SCHEMA
from pinery.steps.compare import compare
from pinery.steps.find_index import ensure_index, find_index
from pinery.steps.list_items import Listing, publish_listing
from pinery.steps.make_plan import PlanOptions, make_plan
from pinery.steps.refusals import Refusals
from pinery.steps.upsert_part import upsert_part

PART_ROWS, DIMENSION, BATCH = 16384, 512, 4096


def listed(count: int) -> Iterator[pa.RecordBatch]:
    """Yield batches (LISTING_SCHEMA) of the items of a corpus that needn't be there."""
    for first in range(0, count, BATCH):
        numbers = range(first, min(first + BATCH, count))
        rows = [{"id": f"photos/{n}.jpg", "version": "1", "bytes": 1, "metadata": f'{{"n":{n}}}'} for n in numbers]
        uris = [{"uri": f"file:///{row['id']}"} for row in rows]
        yield pa.RecordBatch.from_pylist([row | uri for row, uri in zip(rows, uris, strict=True)], LISTING_SCHEMA)


def write_part(path: Path, start: int, stop: int, *, checksums: bool) -> None:
    """Write the part with rows `start` to `stop`: random float32 vectors of length 1, shape (rows, DIMENSION)."""
    with TableWriter(path, PART_SCHEMA, vector_row_group(DIMENSION), checksums=checksums) as writer:
        for first in range(start, stop, BATCH):
            last = min(first + BATCH, stop)
            vectors = np.random.default_rng(first).normal(size=(last - first, DIMENSION)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            offsets = pa.array(np.arange(0, vectors.size + 1, DIMENSION), pa.int32())
            values = pa.ListArray.from_arrays(offsets, pa.array(vectors.ravel()), type=PART_SCHEMA.field("values").type)
            ids = pa.array([f"photos/{n}.jpg" for n in range(first, last)])
            ones, sums = pa.array(["1"] * len(ids)), pa.array([f"{n:064x}" for n in range(first, last)])
            nothing = pa.nulls(len(ids), pa.string())
            writer.append(pa.record_batch([ids, ones, sums, values, nothing], schema=PART_SCHEMA))


def fill(held: HeldTarget, rows: int) -> None:
    """Publish a listing and a checkpoint of so many rows, and bring the index to them."""
    scratch = held.scratch
    for number, start in enumerate(range(0, rows, PART_ROWS)):
        write_part(scratch / "part", start, min(start + PART_ROWS, rows), checksums=True)
        held.target.checkpoint.publish(f"part-{number:08d}", scratch / "part")
    write_listing(listed(rows), scratch / "listing.parquet", lambda _: None)
    find_index(held)
    plan = make_plan(held, scratch / "listing.parquet", PlanOptions())
    publish_listing(held.run, Listing(scratch / "listing.parquet"))
    ensure_index(held)
    for work in plan.upsert:
        upsert_part(held, work, Refusals(held, None))


def seconds(held: HeldTarget) -> tuple[float, float]:
    """Return the wall and CPU seconds of a full comparison, which must find no difference."""
    wall, cpu = time.perf_counter(), time.process_time()
    compared = compare(held, current_listing(held.run.corpus), full=True)
    assert compared.counts.different == 0
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Fill an index, compare in turn, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        state = Path(name)
        model = {"name": "descriptor", "decode": "exact", "precision": "fp32"}
        source = {"kind": "folder", "path": name}
        config = load_config({"corpus": "test", "source": source, "model": model, "state": name})
        with open_run(Corpus(config)) as run:
            fill(run.main, given.rows)
            [parts] = state.glob("test/*/parts")
            plain, checked = parts.with_name("plain"), parts.with_name("checked")
            plain.mkdir()
            for number, path in enumerate(sorted(parts.iterdir())):
                start = number * PART_ROWS
                write_part(plain / path.name, start, min(start + PART_ROWS, given.rows), checksums=False)
            taken: dict[str, list[tuple[float, float]]] = {"with": [], "without": []}
            for _ in range(given.rounds):
                taken["with"].append(seconds(run.main))
                parts.rename(checked)
                plain.rename(parts)
                taken["without"].append(seconds(run.main))
                parts.rename(plain)
                checked.rename(parts)
    medians = {
        kind: [statistics.median(column) for column in zip(*found, strict=True)] for kind, found in taken.items()
    }
    rows = [[kind, *(f"{value:.1f}" for value in medians[kind])] for kind in medians]
    ratios = [medians["with"][column] / medians["without"][column] for column in (0, 1)]
    keep(
        "verify",
        "Verifying all rows",
        ["lancedb", "pyarrow"],
        f"{given.rows:,} rows of {DIMENSION} dimensions in an embedded index, each fetched and compared with its part;"
        f" medians of {given.rounds} rounds in turn. With checksums it takes {ratios[0]:.3f} of the wall time, and"
        f" {ratios[1]:.3f} of the CPU's.\n\n" + table(["checksums", "seconds", "CPU seconds"], rows),
    )


if __name__ == "__main__":
    main()
