"""Does memory grow with the corpus? Peak memory of `pinery run`, of a run with nothing to do, and of `pinery plan`.

python benchmarks/memory.py [--counts N N N]

The corpora are folders of small JPEGs, all of different content, each ten times as large as the one before it. Counted
is the resident memory of the command and all its children but one: the Prefect server that it starts where none is
configured, which a deployment has elsewhere.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml
from measuring.machine import keep, table
from PIL import Image

ROOT = Path(__file__).parent.parent
SERVER = "temporary_server.py"
SAMPLE_SECONDS = 0.05


COMMANDS = {"run": "run", "run again, nothing to do": "run", "plan": "plan"}
LABELS = ("ant", "bee", "cat", "dog", "eel")


@dataclass(frozen=True, slots=True)
class Measured:
    """One command: what it said, its peak of resident memory in MiB and its wall time."""

    said: dict[str, Any]
    peak: float
    seconds: float


def generate(folder: Path, count: int) -> None:
    """Make so many JPEGs of 16 x 16 pixels, all of different content."""
    folder.mkdir()
    chooser = np.random.default_rng(count)
    for number in range(count):
        pixels = chooser.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{LABELS[number % len(LABELS)]}-{number:07d}.jpg", quality=80)


def configured(images: Path, folder: Path) -> Path:
    """Return the config of a corpus over a folder of images, with a new state: `descriptor` into the embedded index."""
    config = folder / "corpus.yaml"
    settings = {
        "corpus": "things",
        "source": {"kind": "folder", "path": str(images), "metadata": "^(?P<label>[^-]+)-"},
        "model": "descriptor",
        "index": {"kind": "lance"},
        "state": str(folder / "state"),
    }
    config.write_text(yaml.safe_dump(settings))
    return config


def measure(command: str, config: Path) -> Measured:
    """Run a command of `pinery` on a config and watch its memory."""
    folder = config.parent
    environment = os.environ | {"PINERY_CACHE": str(folder / "cache"), "PREFECT_HOME": str(folder / "prefect")}
    environment.pop("PREFECT_API_URL", None)
    began, peak = time.monotonic(), 0
    with (folder / "output").open("w+") as output, (folder / "errors").open("w+") as errors:
        line = [sys.executable, "-m", "flows.cli", command, str(config), "--json"]
        with subprocess.Popen(line, cwd=ROOT, stdout=output, stderr=errors, env=environment) as process:
            family = psutil.Process(process.pid)
            while process.poll() is None:
                peak = max(peak, resident(family))
                time.sleep(SAMPLE_SECONDS)
            seconds = time.monotonic() - began
        if process.returncode:
            errors.seek(0)
            raise SystemExit(errors.read())
        output.seek(0)
        return Measured(json.load(output), peak / 2**20, seconds)


def resident(family: psutil.Process) -> int:
    """Return the resident bytes of a process and its children, without the temporary Prefect server."""
    try:
        children = family.children()
        return family.memory_info().rss + sum(resident(child) for child in children if not _is_server(child))
    except psutil.Error:  # it has just ended
        return 0


def _is_server(process: psutil.Process) -> bool:
    return any(argument.endswith(SERVER) for argument in process.cmdline())


def main() -> None:
    """Measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs=3, default=(2_000, 20_000, 200_000), help="images of the corpora")
    given = parser.parse_args()
    found = {count: measured(count) for count in given.counts}
    rows = []
    for count, commands in found.items():
        for name, one in commands.items():
            rate = f"{one.said['images_per_second']:,.0f}" if name == "run" else ""
            rows.append([f"{count:,}", name, f"{one.peak:,.0f}", f"{one.seconds:,.0f}", rate])
    _, middle, largest = given.counts
    ratios = ", ".join(f"{name} {found[largest][name].peak / found[middle][name].peak:.2f}" for name in COMMANDS)
    about = (
        "`descriptor` into the embedded index with default settings, over a folder of JPEGs of 16 x 16 pixels, all of"
        " different content: a run from nothing to verified, the same again, and a plan. Memory is that of the command"
        " and its children without the temporary Prefect server; seconds include starting that server and importing"
        " everything."
    )
    head = ["images", "command", "peak MiB", "seconds", "images/s embedding"]
    ratio = f"At {largest:,} images the peak is so many times that at {middle:,}: {ratios}."
    packages = ["torch", "pyarrow", "duckdb", "lancedb"]
    keep("memory", "Memory of a run", packages, f"{about}\n\n{table(head, rows)}\n\n{ratio}")


def measured(count: int) -> dict[str, Measured]:
    """Return each command over a new corpus of `count` images, the first of which must embed and verify everything."""
    with tempfile.TemporaryDirectory(prefix="pinery-memory-") as folder:
        images = Path(folder) / "images"
        generate(images, count)
        config, found = configured(images, Path(folder)), {}
        for name, command in COMMANDS.items():
            found[name] = measure(command, config)
            print(
                f"{count:,} images, {name}: {found[name].peak:,.0f} MiB, {found[name].seconds:.0f} s", file=sys.stderr
            )
    first = found["run"].said
    if first["embedded"] != count or not first["verified"]:
        raise SystemExit(f"embedded {first['embedded']} of {count}")
    return found


if __name__ == "__main__":
    main()
