"""Measures upserts from Parquet into Pinecone's API: Pinery, the SDK's own batches, and a loop of 100 rows.

python benchmarks/upsert.py [--rows N] [--repeats N]

All three read the same parts and talk to the same sink, a process of its own that counts rows without parsing them;
once it answers at once, once after 100 ms, as a service does that is some way off.
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pinecone
import pyarrow as pa
import pyarrow.parquet as pq
from measuring.machine import keep, table
from measuring.sink import sink

from pinery.indexes.engine import Patience, upsert_rows
from pinery.indexes.pinecone import PineconeIndex
from pinery.indexes.protocol import ROWS_SCHEMA
from pinery.parquet.files import TableWriter, stream, vector_row_group
from pinery.records import PART_SCHEMA
from pinery.target_settings import PineconeSettings

PART_ROWS = 16384
DIMENSIONS = (512, 1000)
LATENCIES = (0.0, 0.1)
BATCHES = {512: (50, 100, 180), 1000: (25, 50, 90)}
"""Batch sizes that the SDK's batches are tried with; the largest fills the service's 2 MB."""
CONCURRENCIES = (4, 8, 16, 32)
TRIAL_ROWS = 8192
LOOP_ROWS = 100


@dataclass(frozen=True, slots=True)
class Setting:
    """The settings that one row of the table is measured at."""

    dimension: int
    latency: float
    parts: list[Path]


def write_part(path: Path, dimension: int, first: int, rows: int) -> None:
    """Write a part of random unit vectors as Pinery writes its parts."""
    vectors = np.random.default_rng(first).normal(size=(rows, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    columns = {
        "id": pa.array([f"things/image-{first + row:09d}.jpg" for row in range(rows)]),
        "version": pa.array([f"{row:032x}" for row in range(rows)]),
        "sha256": pa.nulls(rows, PART_SCHEMA.field("sha256").type),
        "values": pa.ListArray.from_arrays(np.arange(rows + 1, dtype=np.int32) * dimension, vectors.ravel()),
        "error": pa.nulls(rows, pa.string()),
    }
    with TableWriter(path, PART_SCHEMA, vector_row_group(dimension)) as writer:
        arrays = [columns[name].cast(PART_SCHEMA.field(name).type) for name in PART_SCHEMA.names]
        writer.append(pa.RecordBatch.from_arrays(arrays, schema=PART_SCHEMA))


def batches(parts: list[Path]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of parts as the step that upserts a part reads them, with metadata."""
    for part in parts:
        for batch in stream(part, ["id", "version", "values"], 1024):
            metadata = pa.array([metadata_of(id) for id in batch["id"].to_pylist()])
            values = batch["values"].cast(ROWS_SCHEMA.field("values").type)
            yield pa.RecordBatch.from_arrays([batch["id"], values, metadata], schema=ROWS_SCHEMA)


def metadata_of(id: str) -> str:
    """Return metadata of about 60 bytes of JSON."""
    return f'{{"label":"class-{id[-6:-4]}","dataset":"things","split":"train"}}'


def patience() -> Patience:
    """Return a patience of zero seconds: a sink has no outages."""
    return Patience(0.0, lambda: None, time.sleep, print)


def pinery(url: str, setting: Setting) -> int:
    """Upsert with Pinery's engine at its defaults; return the rows acknowledged."""
    os.environ |= {"PINECONE_CONTROLLER_HOST": url, "PINECONE_API_KEY": "sink"}
    index = PineconeIndex(PineconeSettings(kind="pinecone"), f"sink-{setting.dimension}", "things", setting.dimension)
    try:
        return sum(settled.rows.num_rows for settled in upsert_rows(index, batches(setting.parts), patience()))
    finally:
        index.close()


def sdk(url: str, setting: Setting, batch_size: int, concurrency: int) -> int:
    """Return the SDK's batches, a part at a time, as they want all their rows in memory; the rows acknowledged."""
    client = pinecone.Pinecone(api_key="sink", host=url, connection_pool_maxsize=2 * concurrency)
    done = 0
    with client.index(host=url) as index:
        for part in setting.parts:
            vectors = [vector for batch in batches([part]) for vector in vectors_of(batch)]
            response = index.upsert(
                vectors=vectors,
                namespace="things",
                batch_size=batch_size,
                max_concurrency=concurrency,
                show_progress=False,
            )
            done += response.upserted_count
    return done


def loop(url: str, setting: Setting) -> int:
    """Upsert in one request of 100 rows after another; return the rows acknowledged."""
    client = pinecone.Pinecone(api_key="sink", host=url)
    done = 0
    with client.index(host=url) as index:
        rows = (vector for batch in batches(setting.parts) for vector in vectors_of(batch))
        while chunk := list(itertools.islice(rows, LOOP_ROWS)):
            done += index.upsert(vectors=chunk, namespace="things").upserted_count
    return done


def vectors_of(batch: pa.RecordBatch) -> list[tuple[str, list[float], dict[str, Any]]]:
    """Return a batch in the SDK's form."""
    matrix = batch["values"].flatten().to_numpy().reshape(batch.num_rows, -1)
    metadata = map(json.loads, batch["metadata"].to_pylist())
    return list(zip(batch["id"].to_pylist(), matrix.tolist(), metadata, strict=True))


def rate(contestant: Callable[[str, Setting], int], url: str, setting: Setting) -> float:
    """Return rows per second; every row must have been acknowledged."""
    expected = sum(pq.read_metadata(part).num_rows for part in setting.parts)
    began = time.monotonic()
    done = contestant(url, setting)
    seconds = time.monotonic() - began
    if done != expected:
        raise SystemExit(f"{done} of {expected} rows were acknowledged")
    return expected / seconds


def best_sdk(url: str, setting: Setting) -> tuple[int, int]:
    """Return the batch size and concurrency that the SDK's batches are fastest with, over a small part."""
    choices = itertools.product(BATCHES[setting.dimension], CONCURRENCIES)

    def fastest(choice: tuple[int, int]) -> float:
        return max(rate(partial(sdk, batch_size=choice[0], concurrency=choice[1]), url, setting) for _ in range(2))

    return max(choices, key=fastest)


def compare(folder: Path, dimension: int, latency: float, rows: int, repeats: int) -> list[str]:
    """Return one row of the table: medians of interleaved runs."""
    sizes = [min(PART_ROWS, rows - first) for first in range(0, rows, PART_ROWS)]
    parts = [folder / f"{dimension}-{number}.parquet" for number in range(len(sizes))]
    trial, few = folder / f"{dimension}-trial.parquet", folder / f"{dimension}-few.parquet"
    wanted = [*zip(parts, sizes, strict=True), (trial, min(TRIAL_ROWS, rows)), (few, max(1, rows // 10))]
    for number, (part, size) in enumerate(wanted):
        if not part.exists():
            write_part(part, dimension, number * PART_ROWS, size)
    whole = Setting(dimension, latency, parts)
    with sink(latency) as url:
        batch_size, concurrency = best_sdk(url, Setting(dimension, latency, [trial]))
        rates: dict[str, list[float]] = {"pinery": [], "sdk": [], "loop": []}
        for _ in range(repeats):
            rates["pinery"].append(rate(pinery, url, whole))
            rates["sdk"].append(rate(partial(sdk, batch_size=batch_size, concurrency=concurrency), url, whole))
            # Nothing but waiting: a tenth of the rows tells its rate.
            rates["loop"].append(rate(loop, url, Setting(dimension, latency, [few]) if latency else whole))
            print(dimension, latency, {name: round(found[-1]) for name, found in rates.items()}, flush=True)
    ours, theirs, one = (statistics.median(found) for found in rates.values())
    return [
        f"{dimension:,}, {latency * 1000:.0f} ms",
        *(f"{found:,.0f}" for found in (ours, theirs, one)),
        f"{batch_size} × {concurrency}",
        f"{ours / theirs:.2f}",
        f"{ours / one:.2f}",
    ]


def main() -> None:
    """Measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of a run; default: 100,000")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, one after another; default: 3")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pinery-upsert-") as folder:
        rows = [
            compare(Path(folder), dimension, latency, given.rows, given.repeats)
            for dimension, latency in itertools.product(DIMENSIONS, LATENCIES)
        ]
    head = ["dimensions, added latency", "Pinery rows/s", "SDK rows/s", "loop rows/s", "SDK's batch × threads"]
    about = (
        f"{given.rows:,} rows from Parquet parts into a sink that counts rows without parsing them, in a process of"
        f" its own on the same machine. Pinery is `upsert_rows` with `PineconeIndex` at its defaults; the SDK is"
        f" `index.upsert(batch_size=…, max_concurrency=…)`, a part of {PART_ROWS:,} rows a call, at the fastest of"
        f" {len(CONCURRENCIES) * 3} settings within 2 MB; the loop sends {LOOP_ROWS} rows after {LOOP_ROWS} rows, with"
        " latency a tenth of them. All read the same parts and make the same metadata. Medians of"
        f" {given.repeats} interleaved runs. At 1,000 dimensions the loop's requests have 2.1 MB, which the service"
        " would refuse."
    )
    packages = ["pinecone", "pyarrow", "numpy", "orjson"]
    body = f"{about}\n\n{table([*head, 'Pinery ÷ SDK', 'Pinery ÷ loop'], rows)}"
    keep("upsert", "Rows per second into Pinecone's API", packages, body)


if __name__ == "__main__":
    main()
