"""One `pinery run` in a process of its own, and when each part of it happened. Part of throughput.py."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

ROOT = Path(__file__).parent.parent.parent
STAMP = "%Y%m%dT%H%M%S%fZ"
"""A run's name begins with the time at which it took its lease."""


@dataclass(frozen=True, slots=True)
class Whole:
    """One run from start to end of its process; all times in seconds."""

    report: dict[str, Any]
    wall: float
    start: float
    """The time until the run had its lease: the interpreter, imports, the Prefect server, and the model's card."""
    before: float
    """The time from then until the embedding began: listing, planning, and opening the index."""
    embedding: float
    """The time from then until the last part was published, with loading, compiling and finding a batch size."""
    steady: float
    """Images per second of the parts after the first."""
    steady_from: float
    steady_to: float
    """The times at which the first and the last part were published, since the epoch."""

    @property
    def after(self) -> float:
        """The time from the last part to the end of the process: its upsert, verification and report."""
        return self.wall - self.start - self.before - self.embedding

    @property
    def warm_up(self) -> float:
        """The seconds that the embedding took longer than at its steady rate."""
        return float(self.embedding - self.report["embedded"] / self.steady)

    @property
    def infer(self) -> float:
        """The share of the embedding during which the model was at work."""
        return float(self.report["seconds"]["infer"] / self.embedding)

    @property
    def rest(self) -> float:
        """The share of the whole run that wasn't embedding."""
        return 1 - self.embedding / self.wall

    @property
    def rest_once_started(self) -> float:
        """The share of the run that wasn't embedding, from its lease on."""
        return 1 - self.embedding / (self.wall - self.start)


def whole_run(images: Path, folder: Path, shared: Path, model: dict[str, Any], part_rows: int | None = None) -> Whole:
    """Run `pinery run` over a folder of images into a new state in `folder`; nothing may fail, and two parts be made.

    `shared` is for what runs share as on any machine that has run Pinery before. Compilation starts from nothing.
    """
    folder.mkdir(parents=True)
    config, state = folder / "corpus.yaml", folder / "state"
    settings = {
        "corpus": "pictures",
        "source": {"kind": "folder", "path": str(images)},
        "model": model,
        "index": {"kind": "lance"},
        "state": str(state),
        "run": {} if part_rows is None else {"part_rows": part_rows},
    }
    config.write_text(yaml.safe_dump(settings))
    own = {
        "PINERY_CACHE": shared / "cache",
        "PREFECT_HOME": shared / "prefect",
        "TORCHINDUCTOR_CACHE_DIR": folder / "c",
    }
    environment = os.environ | {name: str(path) for name, path in own.items()}
    environment.pop("PREFECT_API_URL", None)
    command = [sys.executable, "-m", "flows.cli", "run", str(config), "--json"]
    began = time.time()
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    wall = time.time() - began
    if ended.returncode:
        raise SystemExit(f"`pinery run` ended with {ended.returncode}:\n{ended.stderr}")
    report = json.loads(ended.stdout)
    if report["embedded"] != report["listed"] or not report["verified"]:
        raise SystemExit(f"embedded {report['embedded']} of {report['listed']}: {report['reasons']}")
    return _timed(report, sorted(state.glob("pictures/*/parts/*.parquet")), began, wall)


def _timed(report: dict[str, Any], parts: list[Path], began: float, wall: float) -> Whole:
    """Return the figures of a run, from its report and from the times at which its parts were published."""
    if len(parts) < 2:
        raise SystemExit(f"{report['embedded']} images made one part; a steady rate needs two: give more --images")
    leased = datetime.strptime(report["run"].partition("-")[0], STAMP).replace(tzinfo=UTC).timestamp()
    published = [part.stat().st_mtime for part in parts]
    later = sum(pq.read_metadata(part).num_rows for part in parts[1:])
    # The stage of embedding ends with the last upsert; what it began after is what the run did before.
    before = report["seconds"]["list"] + report["seconds"]["plan"]
    return Whole(
        report,
        wall,
        start=leased - began,
        before=before,
        embedding=published[-1] - leased - before,
        steady=later / (published[-1] - published[0]),
        steady_from=published[0],
        steady_to=published[-1],
    )
