"""What must be true of a state after any drill."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from pinery.config_file import load_config
from pinery.records import Stored
from pinery.steps.corpus import Corpus


def parts(state: Path) -> dict[str, int]:
    """The published parts and when each was written."""
    return {path.name: path.stat().st_mtime_ns for path in state.glob("test/*/parts/*.parquet")}


def ledger_entries(state: Path) -> int:
    """How many ledger files there are."""
    return len(list(state.glob("test/indexes/*/*/*/ledger/*.parquet")))


def held(config_file: Path) -> dict[str, Stored]:
    """All that the index holds."""
    index = Corpus(load_config(config_file)).index
    return {id: stored for page in index.list_ids() for id, stored in index.fetch(page).items()}


def embedded_twice(state: Path) -> list[tuple[str, str]]:
    """Every (id, version) that more than one part holds."""
    seen: set[tuple[str, str]] = set()
    doubles = []
    for path in sorted(state.glob("test/*/parts/*.parquet")):
        rows = pq.read_table(path, columns=["id", "version"])
        for key in zip(rows["id"].to_pylist(), rows["version"].to_pylist(), strict=True):
            if key in seen:
                doubles.append(key)
            seen.add(key)
    return doubles
