"""Make the file of one part: the same in this process and in a worker, with no run, lease or index in sight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pinery.embedding.columns import Batch, Known
from pinery.embedding.job import Job, Order, Progress, Watch
from pinery.models.protocol import Model
from pinery.parquet.files import part_writer, read_rows
from pinery.records import PART_SCHEMA, PartReport
from pinery.sources.protocol import Source

if TYPE_CHECKING:
    from pinery.embedding.runner import Runner

MAX_REASONS = 20
MAX_EXAMPLES = 20
MAX_REASON = 120


@dataclass
class PartMaker:
    """Makes parts of one corpus for one model, one at a time; the model is loaded once an image needs it."""

    job: Job
    source: Source
    known: Known
    build: Callable[[], Model]
    """Builds the model; called once."""

    def make(self, order: Order, watch: Watch) -> PartReport:
        """Embed the items of `order` and write its file, with the schema PART_SCHEMA; items that moved are left out.

        Raises StoppedError, AccessDeniedError, TransientError (the part can be tried again), TerminalError, ConfigError
        where this machine lacks the model's device, and the errors of `watch`.
        """
        table = read_rows(order.work.path, order.work.start, order.work.stop)
        columns = table.to_pydict()
        items = list(zip(columns["uri"], columns["version"], strict=True))
        sizes = columns.get("bytes") or [-1] * len(items)
        told = _Told(table["id"], watch)
        seconds: dict[str, float] = {}
        batches = self.runner.embed(
            sizes,
            lambda start, stop: self.source.read(items[start:stop], self.job.config.run.max_bytes),
            self.known,
            note=told.note,
            stop=lambda: watch.stopping,
            timings=seconds,
        )
        with part_writer(order.path, self.job.card.dimension) as writer:
            for batch in batches:
                if (rows := _rows(table, batch)).num_rows:
                    writer.append(rows)
                told.batch(batch)
        return told.report(order.work.part, writer.rows, seconds)

    @cached_property
    def runner(self) -> Runner:
        """The batch runner, made on first use. Raises ConfigError where this machine lacks the model's device."""
        from pinery.embedding.runner import Runner  # brings torch, which a run with nothing to embed needn't wait for
        from pinery.models.device import resolve_device

        job = self.job
        return Runner(
            self.build,
            job.card.dimension,
            device=resolve_device(job.config.model.device),
            fetch_threads=job.fetch_threads,
            decode_threads=job.threads,
            max_pixels=job.config.run.max_pixels,
            batch=job.config.model.batch,
            expected=job.expected,
            pixels=job.pixels,
            share=job.on_device,
        )


class _Told:
    """Counts the outcomes of one part, and tells whoever watches."""

    def __init__(self, ids: Any, watch: Watch) -> None:
        self._ids, self._watch = ids, watch
        self._embedded = self._reused = self._quarantined = self._moved = 0
        self._reasons: Counter[str] = Counter()
        self._notes: list[str] = []

    def note(self, text: str) -> None:
        """Keep a note, and pass it on."""
        self._notes.append(text)
        self._watch.note(text)

    def batch(self, batch: Batch) -> None:
        """Count a batch, and tell of it."""
        self._embedded += batch.embedded
        self._reused += len(batch.reused)
        self._quarantined += len(batch.errors)
        self._moved += len(batch.moved)
        reasons = Counter(reason[:MAX_REASON] for reason in batch.errors.values())
        self._reasons.update(reasons)
        some = sorted(batch.errors)[:MAX_EXAMPLES]
        examples = {self._ids[batch.first + row].as_py(): batch.errors[row] for row in some}
        denied = tuple(batch.errors[row] for row in sorted(batch.denied))
        progress = Progress(batch.items, len(batch.moved), len(batch.errors), dict(reasons), examples, denied)
        self._watch.on_batch(progress)

    def report(self, part: str, rows: int, seconds: dict[str, float]) -> PartReport:
        """Return the result of the part, of which so many rows were written."""
        return PartReport(
            part=part,
            rows=rows,
            embedded=self._embedded,
            reused=self._reused,
            quarantined=self._quarantined,
            moved=self._moved,
            seconds=seconds,
            reasons=dict(self._reasons.most_common(MAX_REASONS)),
            notes=tuple(self._notes),
        )


def _rows(table: pa.Table, batch: Batch) -> pa.RecordBatch:
    """The rows of a batch as they are written (PART_SCHEMA); items that moved are left out."""
    kept = [row for row in range(batch.items) if row not in batch.moved]
    some = table.slice(batch.first, batch.items)
    if batch.moved:
        some = some.take(pa.array(kept, pa.int64()))
    columns = [
        some["id"].combine_chunks(),
        some["version"].combine_chunks(),
        pa.array([batch.sha256[row] for row in kept], pa.string()),
        _values(batch, kept),
        pa.array([batch.errors.get(row) for row in kept], pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=PART_SCHEMA)


def _values(batch: Batch, kept: Sequence[int]) -> Any:
    """The vectors of these rows as a column; null for the rows that have an error."""
    good = [row for row in kept if row not in batch.errors]
    flat = batch.vectors[good].ravel() if good and batch.vectors is not None else np.empty(0, np.float32)
    null = np.isin(kept, list(batch.errors)) if batch.errors else np.zeros(len(kept), bool)
    widths = np.where(null, 0, len(flat) // max(1, len(good)))
    offsets = pa.array(np.concatenate([[0], np.cumsum(widths)]), pa.int32())
    type_ = PART_SCHEMA.field("values").type
    return pa.ListArray.from_arrays(offsets, pa.array(flat, pa.float32()), type=type_, mask=pa.array(null))
