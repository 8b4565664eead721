"""Does memory grow with what is upserted? Resident memory over a million rows of 512 dimensions.

python benchmarks/upsert_memory.py [--parts N]

The upserting process is one of its own; the parts are one file under many names, to spare the disk.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from measuring.machine import keep, table
from measuring.sink import sink
from upsert import PART_ROWS, Setting, pinery, write_part

DIMENSION = 512
PARTS = 61
LIMIT_MIB = 300
SAMPLE_SECONDS = 0.1
STRETCHES = 6


@dataclass(frozen=True, slots=True)
class Measured:
    """Resident MiB with everything imported, then sampled while upserting; the seconds that took."""

    before: float
    samples: list[float]
    seconds: float


def measure(folder: Path, url: str) -> Measured:
    """Upsert every part in `folder` in a process of its own, and watch its memory."""
    command = [sys.executable, __file__, "--upsert", str(folder), url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        watched = psutil.Process(process.pid)
        if process.stdout.readline() != "ready\n":
            raise SystemExit("the upserting process did not start; its error is above")
        before, samples, began = _resident(watched), [], time.monotonic()
        process.stdin.write("go\n")
        process.stdin.flush()
        while process.poll() is None:
            samples.append(_resident(watched))
            time.sleep(SAMPLE_SECONDS)
        if process.returncode:
            raise SystemExit("the upserting process failed; its error is above")
        return Measured(before, [sample for sample in samples if sample], time.monotonic() - began)


def upsert(folder: Path, url: str) -> None:
    """Import, wait, upsert, and check that all was acknowledged: the work of the watched process."""
    parts = sorted(folder.iterdir())
    pinery(url, Setting(DIMENSION, 0.0, []))  # imports what is imported on first use
    print("ready", flush=True)
    sys.stdin.readline()
    done = pinery(url, Setting(DIMENSION, 0.0, parts))
    if done != len(parts) * PART_ROWS:
        raise SystemExit(f"{done} rows were acknowledged, not {len(parts) * PART_ROWS}")


def as_text(found: Measured, parts: int, peak: float) -> str:
    """Return the figures as text and table."""
    length, count = len(found.samples) / STRETCHES, parts * PART_ROWS
    stretches = [found.samples[int(n * length) : int((n + 1) * length)] for n in range(STRETCHES)]
    rows = [
        [f"{n + 1}/{STRETCHES}", f"{statistics.median(part):,.0f}", f"{max(part):,.0f}"]
        for n, part in enumerate(stretches)
    ]
    about = (
        f"{count:,} rows of {DIMENSION} dimensions from {parts} parts, with `upsert_rows` and `PineconeIndex` at their"
        f" defaults, into a sink in another process: {found.seconds:,.0f} s, {count / found.seconds:,.0f} rows/s."
        " Resident memory of the upserting process by sixths of that time, sampled every"
        f" {SAMPLE_SECONDS * 1000:.0f} ms."
    )
    ending = (
        f"{found.before:,.0f} MiB with everything imported; at most {peak:,.0f} MiB, which is"
        f" {peak - found.before:,.0f} MiB more (limit: {LIMIT_MIB})."
    )
    return f"{about}\n\n{table(['part of the time', 'median MiB', 'highest MiB'], rows)}\n\n{ending}"


def _resident(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / 2**20
    except psutil.Error:  # it has just ended
        return 0.0


def main() -> None:
    """Measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=PARTS, help=f"parts of {PART_ROWS:,} rows; default: {PARTS}")
    parser.add_argument("--upsert", nargs=2, metavar=("FOLDER", "URL"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.upsert:
        upsert(Path(given.upsert[0]), given.upsert[1])
        return
    with tempfile.TemporaryDirectory(prefix="pinery-upsert-") as folder, sink() as url:
        first = Path(folder) / f"{0:05d}.parquet"
        write_part(first, DIMENSION, 0, PART_ROWS)
        for number in range(1, given.parts):
            os.link(first, first.with_name(f"{number:05d}.parquet"))
        found = measure(Path(folder), url)
    peak = max(found.samples)
    keep("upsert_memory", "Memory of upserting", ["pinecone", "pyarrow", "numpy"], as_text(found, given.parts, peak))
    if peak - found.before > LIMIT_MIB:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
