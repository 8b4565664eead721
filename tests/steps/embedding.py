"""Runs that embed parts, here or in worker processes, for the tests of what does it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from pinery.config_file import load_config
from pinery.corpus.corpus import Corpus
from pinery.corpus.open_run import open_run
from pinery.corpus.progress import Silent
from pinery.corpus.run import Run
from pinery.records import LISTING_SCHEMA, Item, Work
from pinery.steps.embed_part import Attempts, Embedding, open_embedding
from tests.corpora import config, listed_items

PROCESSES = {"kind": "processes", "workers": 1}


class Told(Silent):
    """Counts what the run says is done, and calls back at every batch."""

    def __init__(self) -> None:
        self.done = 0
        self.batches = 0
        self.on_batch = lambda: None

    def advance(self, stage: str, items: int) -> None:
        self.done += items
        self.batches += 1
        self.on_batch()


@contextmanager
def opened(images: Path, state: Path | str, **changes: Any) -> Iterator[tuple[Run, Embedding, Told]]:
    """A run that embeds, and what it tells."""
    told = Told()
    with ExitStack() as stack:
        run = stack.enter_context(open_run(Corpus(load_config(config(images, state, **changes))), progress=told))
        yield run, stack.enter_context(open_embedding(run.main, Attempts(), 100)), told


def listed(run: Run, part: str, items: list[Item] | None = None) -> Work:
    """All of the source, or these items, as the work of one part."""
    items = listed_items(run.corpus.source) if items is None else items
    path = run.main.scratch / f"{part}-items.parquet"
    rows = [{name: getattr(item, name) for name in LISTING_SCHEMA.names} for item in items]
    pq.write_table(pa.Table.from_pylist(rows, schema=LISTING_SCHEMA), path)
    return Work(part, path, 0, len(items))


def published(run: Run, part: str) -> dict[str, Any]:
    """The published rows by id."""
    with run.corpus.target.checkpoint.open(part) as file:
        return {row["id"]: row for row in pq.read_table(file).to_pylist()}


def workers() -> list[psutil.Process]:
    """The worker processes that live."""
    return [psutil.Process(child.pid) for child in multiprocessing.active_children() if child.pid]
