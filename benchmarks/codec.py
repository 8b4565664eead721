"""Compares compressions of float32 vectors in Parquet: bytes per vector, and MB/s of float32 written and read.

python benchmarks/codec.py [FOLDER OF IMAGES] [--repeats N]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from measuring.machine import keep, table
from numpy.typing import NDArray

from pinery.imaging.decode import decode
from pinery.models.descriptor import Descriptor
from pinery.parquet.files import vector_row_group

Vectors = NDArray[np.float32]
VECTOR_COLUMN = "values.list.element"

CODECS: dict[str, dict[str, Any]] = {
    "none": {"compression": "none"},
    "snappy": {"compression": "snappy"},
    "lz4": {"compression": "lz4"},
    "zstd 1": {"compression": "zstd", "compression_level": 1},
    "zstd 3": {"compression": "zstd", "compression_level": 3},
}
ENCODINGS: dict[str, dict[str, Any]] = {
    "plain": {"use_dictionary": False},
    "byte stream split": {"use_dictionary": False, "use_byte_stream_split": [VECTOR_COLUMN]},
    "dictionary": {"use_dictionary": True},
}
MEASURED_BYTES = 32 << 20
"""One timing covers at least this much; small sets of vectors are written and read several times for it."""


def descriptor_vectors(folder: Path) -> Vectors:
    """Return the `descriptor` vectors of all JPEGs in a folder, shape (images, dimension)."""
    model = Descriptor()
    prepared = torch.stack([model.preprocess(decode(path.read_bytes())) for path in sorted(folder.glob("*.jpg"))])
    return np.concatenate([model.embed(batch) for batch in torch.split(prepared, model.batch_size)])


def random_vectors(rows: int, dimension: int) -> Vectors:
    """Return vectors of length 1 in random directions, which no codec should be able to compress much."""
    vectors = np.random.default_rng(0).standard_normal((rows, dimension), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write(vectors: pa.Table, options: dict[str, Any], row_group: int) -> pa.Buffer:
    """Return the vectors as a Parquet file in memory."""
    sink = pa.BufferOutputStream()
    pq.write_table(vectors, sink, row_group_size=row_group, write_statistics=False, **options)
    return sink.getvalue()


def seconds(action: Callable[[], object], times: int, repeats: int) -> float:
    """Return the median of how long doing it `times` times takes, per time."""
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        for _ in range(times):
            action()
        taken.append((time.perf_counter() - began) / times)
    return statistics.median(taken)


def measure(vectors: Vectors, repeats: int) -> list[list[str]]:
    """Return a row of figures for each codec with each encoding."""
    flat = pa.array(vectors.ravel())
    offsets = pa.array(np.arange(0, vectors.size + 1, vectors.shape[1], dtype=np.int32))
    column = pa.ListArray.from_arrays(offsets, flat, type=pa.list_(pa.field("element", pa.float32())))
    columns = pa.table({"values": column})
    row_group, times = vector_row_group(vectors.shape[1]), -(-MEASURED_BYTES // vectors.nbytes)
    rows = []
    for codec, compression in CODECS.items():
        for encoding, options in ENCODINGS.items():
            both = compression | options
            file = write(columns, both, row_group)
            assert pq.read_table(pa.BufferReader(file)).equals(columns)
            written = seconds(lambda both=both: write(columns, both, row_group), times, repeats)
            read = seconds(lambda file=file: pq.read_table(pa.BufferReader(file), use_threads=False), times, repeats)
            size = f"{file.size / len(vectors):,.0f}"
            rows.append([codec, encoding, size, *(f"{vectors.nbytes / 1e6 / each:,.0f}" for each in (written, read))])
    return rows


def main() -> None:
    """Measure, print and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).parent.parent / "data" / "sample"
    parser.add_argument("folder", type=Path, nargs="?", default=default, help="images; default: data/sample")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    real = descriptor_vectors(given.folder)
    unit = random_vectors(4000, real.shape[1])
    head = ["codec", "encoding", "bytes/vector", "write MB/s", "read MB/s"]
    body = [
        f"Parquet in memory, one thread, row groups of 4 MiB; a vector of {real.shape[1]} float32 values has"
        f" {4 * real.shape[1]:,} bytes; medians of {given.repeats}."
    ]
    for title, vectors in (
        (f"`descriptor` vectors of the {len(real):,} images in `{given.folder.name}`", real),
        (f"{len(unit):,} random vectors of length 1", unit),
    ):
        body.append(f"\n## {title}\n\n{table(head, measure(vectors, given.repeats))}")
    keep("codec", "Codecs for vectors", ["pyarrow", "numpy"], "\n".join(body))


if __name__ == "__main__":
    main()
