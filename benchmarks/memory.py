"""Does memory grow with the corpus? Peak memory of `pinery run` on two generated corpora, one ten times the other.

python benchmarks/memory.py [--counts N N]

Counted is the resident memory of the command and all its children but one: the Prefect server that it starts where
none is configured, which a deployment has elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from machine import keep, table

ROOT = Path(__file__).parent.parent
SERVER = "flows.temporary_server"
SAMPLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: its report, its peak of resident memory in MiB and its wall time."""

    report: dict[str, Any]
    peak: float
    seconds: float


def generate(folder: Path, count: int) -> None:
    """Paint a corpus."""
    command = [sys.executable, ROOT / "data" / "generate.py", "--out", folder, "--count", str(count)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def run(images: Path, folder: Path) -> Measured:
    """Run `pinery run` over a folder of images into a new state, `descriptor` into the embedded index."""
    config = folder / "corpus.yaml"
    settings = {
        "corpus": "things",
        "source": {"kind": "folder", "path": str(images), "metadata": "^(?P<label>[^-]+)-"},
        "model": "descriptor",
        "index": {"kind": "lance"},
        "state": str(folder / "state"),
    }
    config.write_text(yaml.safe_dump(settings))
    environment = os.environ | {"PINERY_CACHE": str(folder / "cache"), "PREFECT_HOME": str(folder / "prefect")}
    environment.pop("PREFECT_API_URL", None)
    began, peak = time.monotonic(), 0
    with (folder / "output").open("w+") as output:
        command = [sys.executable, "-m", "flows.cli", "run", str(config), "--json"]
        with subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.PIPE, env=environment) as process:
            family = psutil.Process(process.pid)
            while process.poll() is None:
                peak = max(peak, resident(family))
                time.sleep(SAMPLE_SECONDS)
            seconds = time.monotonic() - began
            if process.returncode:
                assert process.stderr is not None
                raise SystemExit(process.stderr.read().decode())
        output.seek(0)
        return Measured(json.load(output), peak / 2**20, seconds)


def resident(family: psutil.Process) -> int:
    """Resident bytes of a process and its children, the temporary Prefect server left out."""
    try:
        children = family.children()
        return family.memory_info().rss + sum(resident(child) for child in children if SERVER not in child.cmdline())
    except psutil.Error:  # it has just ended
        return 0


def main() -> None:
    """Measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs=2, default=(2_000, 20_000), help="images of the two corpora")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each; default: 3")
    given = parser.parse_args()
    rows, medians = [], []
    for count in given.counts:
        with tempfile.TemporaryDirectory(prefix="pinery-memory-") as folder:
            images = Path(folder) / "images"
            generate(images, count)
            runs = [measure(images, Path(folder) / str(n), count) for n in range(given.repeats)]
        peaks = [one.peak for one in runs]
        medians.append(statistics.median(peaks))
        seconds = statistics.median(one.seconds for one in runs)
        rate = statistics.median(one.report["images_per_second"] for one in runs)
        figures = (runs[0].report["parts"], medians[-1], min(peaks), max(peaks), seconds, rate)
        rows.append([f"{count:,}", *(f"{figure:,.0f}" for figure in figures)])
    head = ["images", "parts", "peak MiB, median", "lowest", "highest", "seconds", "images/s embedding"]
    ratio = f"The larger corpus took {medians[1] / medians[0]:.2f} times the memory of the smaller one, by the medians."
    about = (
        "`pinery run` with `descriptor` into the embedded index and default settings, from nothing to verified, over"
        " images painted by `data/generate.py`. Memory is that of the command and its children without the temporary"
        " Prefect server; seconds include starting that server and importing everything. Medians of"
        f" {given.repeats} runs, each into a new state."
    )
    packages = ["torch", "pyarrow", "duckdb", "lancedb"]
    keep("memory", "Memory of a run", packages, f"{about}\n\n{table(head, rows)}\n\n{ratio}")


def measure(images: Path, folder: Path, count: int) -> Measured:
    """One run into a new state, which must have embedded and verified everything."""
    folder.mkdir()
    measured = run(images, folder)
    if measured.report["embedded"] != count or not measured.report["verified"]:
        raise SystemExit(f"embedded {measured.report['embedded']} of {count}")
    print(f"{count:,} images: {measured.peak:,.0f} MiB, {measured.seconds:.0f} s", file=sys.stderr)
    return measured


if __name__ == "__main__":
    main()
