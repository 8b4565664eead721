"""Checks that must hold for a state after any drill."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flows.reindex import reindex
from flows.verify import verify
from pinery.records import Stored
from pinery.steps.compare import KINDS
from tests.filled import opened


class Losses(NamedTuple):
    """The cost of a drill."""

    lost: int
    """Rows that an undisturbed run has in the index and this one has not, or with another vector or metadata."""
    doubled: int
    """Ids in the index that an undisturbed run doesn't have there, or that the index lists more than once."""
    embedded_twice: int
    """(id, version) pairs that more than one part holds."""


NONE = Losses(0, 0, 0)


def parts(state: Path) -> dict[str, int]:
    """The published parts and when each was written."""
    return {path.name: path.stat().st_mtime_ns for path in state.glob("test/*/parts/*.parquet")}


def ledger_files(state: Path) -> set[str]:
    """The names of the ledger's files."""
    return {path.name for path in state.glob("test/indexes/*/*/*/ledger/*.parquet")}


def check_failure(
    process: subprocess.Popen[str], *patterns: str, seconds: float | None = None, rerun_helps: bool = True
) -> None:
    """The run ends, within so many seconds, with 1 and one clear line, which each of the patterns is found in.

    That line says to run the same command again exactly where that may help.
    """
    stdout, stderr = process.communicate(timeout=seconds)
    assert process.returncode == 1, stdout + stderr
    assert "Traceback" not in stdout + stderr
    last = stderr.strip().splitlines()[-1]
    assert last.startswith("pinery: "), stderr
    for pattern in patterns:
        assert re.search(pattern, last), stderr
    assert ("un the same command again" in last) == rerun_helps, stderr


def held(config: Path | dict[str, Any]) -> dict[str, Stored]:
    """All that the index of a config, in a file or inline, holds."""
    index = opened(config).target.index
    return {id: stored for page in index.list_ids() for id, stored in index.fetch(page).items()}


def embedded_twice(config_file: Path) -> list[tuple[str, str]]:
    """Every (id, version) that more than one part holds."""
    checkpoint = opened(config_file).target.checkpoint
    seen: set[tuple[str, str]] = set()
    doubles = []
    for part in checkpoint.names():
        for batch in checkpoint.batches(part, ["id", "version"]):
            for key in zip(batch["id"].to_pylist(), batch["version"].to_pylist(), strict=True):
                if key in seen:
                    doubles.append(key)
                seen.add(key)
    return doubles


def losses(config_file: Path, undisturbed: Mapping[str, Stored]) -> Losses:
    """Count what went wrong, against what the index holds after a run that nothing disturbed."""
    index = opened(config_file).target.index
    ids = [id for page in index.list_ids() for id in page]
    found = index.fetch(ids)
    lost = sum(found.get(id) != stored for id, stored in undisturbed.items())
    doubled = len(ids) - len(set(ids) & undisturbed.keys())
    return Losses(lost, doubled, len(embedded_twice(config_file)))


def run_here(config_file: Path) -> dict[str, Any]:
    """Return the report of a run in this process, which must succeed; another process takes seconds to start."""
    return dict(reindex(str(config_file)))


def undisturbed_rows(settings: Mapping[str, Any], folder: Path) -> dict[str, Stored]:
    """Return the rows of an index of its own after an undisturbed run over the same source, with its state in `folder`.

    For Pinecone alone.
    """
    index = settings["index"] | {"name": "undisturbed", "transport": "rest"}
    made = {**settings, "index": index, "state": str(folder / "undisturbed"), "upsert": {}}
    assert dict(reindex(made))["verified"]
    return held(made)


def check_fully(config_file: Path) -> None:
    """Let the flow `verify` compare all of the index with the live rows: nothing may differ."""
    found = dict(verify(str(config_file), full=True))
    assert {kind: found[kind] for kind in KINDS if found[kind]} == {}
    assert found["checked"] == found["held"] == found["expected"]
