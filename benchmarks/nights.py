"""Measures `pinery run` with nothing to do: with and without a Prefect server, over one, two and three targets.

Run as `python benchmarks/nights.py [IMAGES ...]`; writes benchmarks/results/nights.md. Each command is a process of its
own; beside them stand a Prefect flow that does nothing, against the same server, and the commands `plan` and `status`.
"""

import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
import yaml
from measuring.machine import keep, table
from measuring.pictures import write_jpegs
from measuring.prefect_server import server

ROUNDS = 5
WITH, WITHOUT, TIMES = 2.5, 5.0, 2.0
"""The bars: seconds with a server and without, over one target of few images; three targets by one."""
EMPTY = "from prefect import flow; flow(name='empty')(lambda: None)()"
COMMANDS: dict[str, list[str]] = {
    "pinery run": ["-m", "flows.cli", "run"],
    "pinery plan": ["-m", "flows.cli", "plan"],
    "pinery status": ["-m", "flows.cli", "status"],
}


def network(folder: Path, seed: int) -> dict[str, Any]:
    """Return model settings of a small network with random weights, saved into `folder`."""
    torch.manual_seed(seed)
    path = folder / f"{seed}.pth"
    torch.save(torchvision.models.shufflenet_v2_x0_5().state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    model = {"name": "torchvision:shufflenet_v2_x0_5", "weights": str(path), "sha256": digest}
    return model | {"precision": "fp32", "decode": "fast"}


def seconds_of(*command: str) -> float:
    """Return the seconds that a process takes; its failure ends the benchmark."""
    began = time.perf_counter()
    ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{command} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return time.perf_counter() - began


def rounds(*measured: Callable[[], float]) -> list[float]:
    """Return the median of each, measured in turn, after a first time that doesn't count."""
    found = [[one() for one in measured] for _ in range(ROUNDS + 1)][1:]
    return [statistics.median(times) for times in zip(*found, strict=True)]


def measure(images: int, folder: Path) -> list[list[str]]:
    """Return the rows of the table for a corpus of so many images."""
    write_jpegs(folder / "images", images, pictures=min(images, 512))
    source = {"kind": "folder", "path": str(folder / "images")}
    config = {"corpus": "nights", "source": source, "model": "descriptor", "index": {"kind": "lance"}}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config | {"state": str(folder / "state")}))
    seconds_of(*COMMANDS["pinery run"], str(path))
    rows: list[list[str]] = []
    for targets in (1, 2, 3):
        if targets > 1:
            model = json.dumps(network(folder, seed=targets))
            seconds_of("-m", "flows.cli", "backfill", str(path), "--model", model)
            seconds_of("-m", "flows.cli", "promote", str(path), "--index", _candidate(path), "--force")
        names = list(COMMANDS) if targets == 1 else ["pinery run"]
        commands = [lambda name=name: seconds_of(*COMMANDS[name], str(path)) for name in names]
        alone = rounds(*commands)
        with server():
            beside = rounds(*commands, lambda: seconds_of("-c", EMPTY))
        empty = beside.pop()
        for name, without, with_server in zip(names, alone, beside, strict=True):
            rows.append([name, f"{images:,}", str(targets), f"{with_server:.2f}", f"{without:.2f}"])
            print(rows[-1], file=sys.stderr)
        rows.append(["a Prefect flow that does nothing", "", "", f"{empty:.2f}", ""])
    return rows


def _candidate(path: Path) -> str:
    command = [sys.executable, "-m", "flows.cli", "status", str(path), "--json"]
    status = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    [name] = [target["index"] for target in status["targets"] if target["role"] == "candidate"]
    return str(name)


def main() -> None:
    """Measure each size of corpus and write the results."""
    os.environ.pop("PREFECT_API_URL", None)
    sizes = [int(argument) for argument in sys.argv[1:]] or [160, 20_000]
    rows: list[list[str]] = []
    for images in sizes:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(Path(__file__).parent.parent):
            rows += measure(images, Path(folder))
    head = ["command", "images", "targets", "seconds with a server", "seconds without"]
    about = (
        f"Medians of {ROUNDS} rounds in turn, each command a process of its own, after a round that doesn't count."
        " Nothing changed, so that no image is read. The server shares the machine's cores. Of several targets one is"
        " live, and the others, which were live before, are kept true by each run."
    )
    keep("nights", "A night with nothing to do", ["prefect", "lancedb"], f"{about}\n\n{table(head, rows)}")


if __name__ == "__main__":
    main()
