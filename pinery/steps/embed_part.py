"""Embed one part: fetch, decode, run the model, and publish the vectors as one Parquet file."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pinery.checkpoint.parquet import read_rows
from pinery.errors import RefusedError, StoppedError, TerminalError
from pinery.planning.guards import too_many_quarantined
from pinery.records import PART_SCHEMA, PartReport
from pinery.steps.make_plan import Work
from pinery.steps.run import Run

if TYPE_CHECKING:
    from pinery.models.runner import Outcome

MAX_REASONS = 20
TELLING = 10


def embed_part(run: Run, work: Work) -> PartReport:
    """Embed the rows of `work` and publish them as its part; nothing is published unless all of it is done.

    Raises RefusedError where too many items end in quarantine, AccessDeniedError, TransientError (the part can be
    tried again), StoppedError.
    """
    table = read_rows(work.path, work.start, work.stop)
    path = run.scratch / f"{work.part}-{threading.get_ident()}.parquet"
    tally: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    seconds: dict[str, float] = {}
    dimension = run.corpus.card.dimension
    try:
        with run.corpus.checkpoint.writer(path, dimension) as writer:
            for outcomes in _outcomes(run, table, dimension, seconds):
                kept = [outcome for outcome in outcomes if not outcome.moved]
                if kept:
                    writer.append(_rows(table, kept))
                tally.update(_kind(outcome) for outcome in outcomes)
                reasons.update(_short(outcome.error) for outcome in kept if outcome.error)
                _guard(run, tally, reasons)
        if writer.rows:
            run.check()
            run.corpus.checkpoint.publish(work.part, path)
    except StoppedError:
        run.check()  # why it was asked to stop says more
        raise
    finally:
        path.unlink(missing_ok=True)
    run.attempted += writer.rows
    run.quarantined += tally["quarantined"]
    return PartReport(
        part=work.part,
        rows=writer.rows,
        embedded=tally["embedded"],
        reused=tally["reused"],
        quarantined=tally["quarantined"],
        moved=tally["moved"],
        seconds=seconds,
        reasons=dict(reasons.most_common(MAX_REASONS)),
    )


def refuse_nothing_but_failures(run: Run, live_before: int) -> None:
    """Raise TerminalError where every attempted item failed, and that says something is wrong with more than them.

    It does with ten attempts or more, or where nothing else of the corpus is in the index (`live_before` rows).
    """
    if run.attempted and run.attempted == run.quarantined and (run.attempted >= TELLING or not live_before):
        raise TerminalError(
            f"all {run.attempted} images that this run tried to embed were quarantined; `pinery status` lists the"
            " reasons. Nothing was deleted. Once the cause is mended, run again with --retry-quarantined"
        )


def _outcomes(run: Run, table: pa.Table, dimension: int, seconds: dict[str, float]) -> Iterator[list[Outcome]]:
    from pinery.models.runner import embed_images  # brings torch, which a run with nothing to embed needn't wait for

    uris, versions = table["uri"], table["version"]
    source, settings = run.corpus.source, run.settings
    run.known.refresh()
    return embed_images(
        run.model,
        table.num_rows,
        lambda at: source.fetch(uris[at].as_py(), versions[at].as_py(), settings.max_bytes),
        run.known.values,
        threads=settings.fetch_threads,
        max_pixels=settings.max_pixels,
        dimension=dimension,
        progress=lambda items: run.advance("embed", items),
        stop=lambda: run.stopping,
        timings=seconds,
    )


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


def _guard(run: Run, tally: Counter[str], reasons: Counter[str]) -> None:
    quarantined = run.quarantined + tally["quarantined"]
    attempted = run.attempted + tally.total() - tally["moved"]
    if too_many_quarantined(quarantined, attempted, run.settings.quarantine_guard):
        most, times = reasons.most_common(1)[0] if reasons else ("", 0)
        raise RefusedError(
            f"{quarantined} of {attempted} images could not be embedded, over the quarantine_guard of"
            f" {run.settings.quarantine_guard:.0%}; most often ({times} times): {most}. The part in work was not"
            " published. If the images really are that bad, raise run.quarantine_guard"
        )


def _kind(outcome: Outcome) -> str:
    if outcome.moved:
        return "moved"
    if outcome.error:
        return "quarantined"
    return "reused" if outcome.reused else "embedded"


def _short(reason: str) -> str:
    return reason[:120]
