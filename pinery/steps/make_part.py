"""Make the file of one part: the same in this process and in a worker, with no run, lease or index in sight."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pinery.checkpoint.parquet import read_rows
from pinery.checkpoint.parts import part_writer
from pinery.config import Config
from pinery.errors import BadImageError, ItemDeniedError
from pinery.imaging.budget import PIXELS_AT_ONCE
from pinery.models.protocol import Model
from pinery.records import PART_SCHEMA, PartReport, Work
from pinery.sources.protocol import Source
from pinery.steps.seen import Seen

if TYPE_CHECKING:
    from pinery.models.preparing import Outcome
    from pinery.models.runner import Runner

MAX_REASONS = 20
MAX_EXAMPLES = 20
MAX_REASON = 120
DENIED = "no access"
"""How the reason of an item begins that may not be read."""


class Known(Protocol):
    """Vectors that are there already."""

    def values(self, sha256: str) -> npt.NDArray[np.float32] | None:
        """The vector (dimension,) of the image with these bytes, or None."""


@dataclass(frozen=True, slots=True)
class Order:
    """A part to make: its items, and where to write it."""

    work: Work
    path: Path
    """The part's file; it is whole only once `PartMaker.make` has returned."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The outcomes of the items of one batch, counted."""

    items: int
    moved: int
    quarantined: int
    reasons: Mapping[str, int]
    """Quarantine reasons and how often each was met."""
    examples: Mapping[str, str]
    """Some of the quarantined items, by id, with their reasons."""
    denied: tuple[str, ...] = ()
    """The reasons of those that access is denied to."""


class Watch(Protocol):
    """Who follows the making of one part."""

    @property
    def stopping(self) -> bool:
        """Whether it is to end at the next safe point, with a StoppedError."""

    def on_batch(self, batch: Batch) -> None:
        """A batch is done. What this raises ends the making."""

    def note(self, text: str) -> None:
        """A line for the person who watches."""


def open_runner(
    build: Callable[[], Model],
    config: Config,
    dimension: int,
    *,
    threads: int,
    expected: int,
    pixels: int = PIXELS_AT_ONCE,
) -> Runner:
    """The runner for a config's images; see `Runner`. `threads` is how many images are decoded at once.

    Raises ConfigError where this machine lacks the model's device.
    """
    from pinery.models.device import resolve_device  # brings torch, which a run with nothing to embed needn't wait for
    from pinery.models.runner import Runner

    return Runner(
        build,
        dimension,
        device=resolve_device(config.model.device),
        fetch_threads=config.run.fetch_threads,
        decode_threads=threads,
        max_pixels=config.run.max_pixels,
        batch=config.model.batch,
        expected=expected,
        pixels=pixels,
    )


@dataclass(frozen=True, slots=True)
class PartMaker:
    """Makes parts of one corpus for one model, one at a time."""

    source: Source
    runner: Runner
    known: Known
    dimension: int
    max_bytes: int
    """Larger items are quarantined."""

    def make(self, order: Order, watch: Watch) -> PartReport:
        """Embed the items of `order` and write its file, with the schema PART_SCHEMA; items that moved are left out.

        Raises StoppedError, AccessDeniedError, TransientError (the part can be tried again), TerminalError, and what
        `watch` raises.
        """
        return _make_part(self, order, watch)


def _make_part(maker: PartMaker, order: Order, watch: Watch) -> PartReport:
    work = order.work
    table = read_rows(work.path, work.start, work.stop)
    ids = table["id"]
    tally: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        watch.note(text)

    seen = Seen(maker.known.values)
    outcomes = maker.runner.embed(
        table.num_rows,
        lambda at: _fetch(maker.source, table, at, maker.max_bytes),
        seen.values,
        note=note,
        stop=lambda: watch.stopping,
        timings=seconds,
    )
    with part_writer(order.path, maker.dimension) as writer:
        for made in outcomes:
            batch = seen.settle(made)
            kept = [outcome for outcome in batch if not outcome.moved]
            if kept:
                writer.append(_rows(table, kept))
            kinds = Counter(_kind(outcome) for outcome in batch)
            why = Counter(outcome.error[:MAX_REASON] for outcome in kept if outcome.error)
            tally.update(kinds)
            reasons.update(why)
            bad = [outcome for outcome in kept if outcome.error][:MAX_EXAMPLES]
            examples = {ids[one.position].as_py(): one.error or "" for one in bad}
            denied = [error for outcome in kept if (error := outcome.error or "").startswith(DENIED)]
            watch.on_batch(Batch(len(batch), kinds["moved"], kinds["quarantined"], dict(why), examples, tuple(denied)))
    return PartReport(
        part=work.part,
        rows=writer.rows,
        embedded=tally["embedded"],
        reused=tally["reused"],
        quarantined=tally["quarantined"],
        moved=tally["moved"],
        seconds=seconds,
        reasons=dict(reasons.most_common(MAX_REASONS)),
        notes=tuple(notes),
    )


def _fetch(source: Source, table: pa.Table, at: int, max_bytes: int) -> bytes:
    try:
        return source.fetch(table["uri"][at].as_py(), table["version"][at].as_py(), max_bytes)
    except ItemDeniedError as error:  # a row, unless the watch finds that nothing else can be read either
        raise BadImageError(f"{DENIED}: {error}") from error


def _rows(table: pa.Table, outcomes: Sequence[Outcome]) -> pa.RecordBatch:
    positions = pa.array([outcome.position for outcome in outcomes])
    vectors = [outcome.values for outcome in outcomes if outcome.values is not None]
    widths = [0 if outcome.values is None else len(outcome.values) for outcome in outcomes]
    offsets = pa.array([0, *np.cumsum(widths)], pa.int32())
    flat = pa.array(np.concatenate(vectors) if vectors else np.empty(0, np.float32), pa.float32())
    values = pa.ListArray.from_arrays(
        offsets, flat, type=PART_SCHEMA.field("values").type, mask=pa.array([width == 0 for width in widths])
    )
    columns = [
        table["id"].take(positions).combine_chunks(),
        table["version"].take(positions).combine_chunks(),
        pa.array([outcome.sha256 for outcome in outcomes], pa.string()),
        values,
        pa.array([outcome.error for outcome in outcomes], pa.string()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=PART_SCHEMA)


def _kind(outcome: Outcome) -> str:
    if outcome.moved:
        return "moved"
    if outcome.error:
        return "quarantined"
    return "reused" if outcome.reused else "embedded"
