"""A plugin that tells in a table at the end what the drills cost, also where several processes ran them."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measuring.machine import machine, table, versions

TABLE_VARIABLE = "PINERY_DRILLS_TABLE"
HEAD = ("drill", "times run", "rows lost", "rows doubled", "rows embedded twice beyond the part in flight")
RECORDS = pytest.StashKey[dict[str, list[int]]]()
SENT = "drills"


def add(records: dict[str, list[int]], name: str, counts: Sequence[int]) -> None:
    """Add the counts of one drill to those that its name has already."""
    before = records.get(name, [0] * len(counts))
    records[name] = [old + new for old, new in zip(before, counts, strict=True)]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RECORDS] = {}


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # a process of pytest-xdist hands its counts to the one that reports
        session.config.workeroutput[SENT] = session.config.stash[RECORDS]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for name, counts in getattr(node, "workeroutput", {}).get(SENT, {}).items():
        add(node.config.stash[RECORDS], name, counts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    records = config.stash[RECORDS]
    if not records:
        return
    rows = [[name, *(f"{count:,}" for count in counts)] for name, counts in sorted(records.items())]
    terminalreporter.section("drills")
    terminalreporter.write_line(table(HEAD, rows))
    if path := os.environ.get(TABLE_VARIABLE):
        when = datetime.now(UTC).date().isoformat()
        made = f"{machine()}; {versions('prefect', 'pinecone', 'lancedb', 'torch')}; {when}. Made by `make drills`."
        Path(path).write_text(f"# Drills\n\n{made}\n\n{table(HEAD, rows)}\n", encoding="utf-8")
