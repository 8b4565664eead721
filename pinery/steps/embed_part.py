"""Embed one part: have its file made, judge how it goes, and publish it as one Parquet file."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from dataclasses import replace

import pyarrow.parquet as pq

from pinery.checkpoint.parquet import read_rows
from pinery.errors import (
    AccessDeniedError,
    BadImageError,
    ItemDeniedError,
    MovedError,
    RefusedError,
    StoppedError,
    TerminalError,
)
from pinery.planning.guards import too_many_quarantined
from pinery.records import PartReport
from pinery.steps.lanes import Lanes
from pinery.steps.make_part import Batch, Order
from pinery.steps.make_plan import Work
from pinery.steps.run import Run

TELLING = 10
TRIED = 16
"""Items, spread over the listing, that are tried where access to some is denied."""

_one_at_a_time = threading.Lock()
"""What lanes share in their run: its counts, and the refreshing of what is known."""


def embed_part(run: Run, work: Work, lanes: Lanes) -> PartReport:
    """Embed the rows of `work` and publish them as its part; nothing is published unless all of it is done.

    The report's seconds are divided by the number of lanes, so that they add up to wall time as those of one lane do.

    Raises RefusedError where too many items end in quarantine, AccessDeniedError, TransientError (the part can be
    tried again), StoppedError.
    """
    path = run.scratch / f"{work.part}-{uuid.uuid4().hex}.parquet"
    watch = _Watch(run, work)
    try:
        with _one_at_a_time:
            run.known.refresh()
        made = lanes.make(Order(work.part, work.path, work.start, work.stop, path), watch)
        if made.rows:
            with run.writing():
                run.corpus.checkpoint.publish(work.part, path)
    except BaseException as error:
        run.advance("embed", -watch.items)  # it will be done anew, or never
        if isinstance(error, StoppedError):
            run.check()  # why it was asked to stop says more
        raise
    finally:
        path.unlink(missing_ok=True)
    with _one_at_a_time:
        run.attempted += made.rows
        run.quarantined += made.quarantined
    return replace(made, seconds={name: value / lanes.count for name, value in made.seconds.items()})


def refuse_nothing_but_failures(run: Run, live_before: int) -> None:
    """Raise TerminalError where every attempted item failed, and that says something is wrong with more than them.

    It does with ten attempts or more, or where nothing else of the corpus is in the index (`live_before` rows).
    """
    if run.attempted and run.attempted == run.quarantined and (run.attempted >= TELLING or not live_before):
        raise TerminalError(
            f"all {run.attempted} images that this run tried to embed were quarantined; `pinery status` lists the"
            " reasons. Nothing was deleted. Once the cause is mended, run again with --retry-quarantined"
        )


def refuse_denied_to_all(run: Run, work: Work, why: str) -> None:
    """Raise AccessDeniedError, saying `why`, where none of the listed items that are tried can be read.

    Then it is not a few items that are closed, but the source or these credentials, and nothing is said of any item.
    """
    name = run.corpus.current_listing()
    path = run.corpus.store.local(name) if name else work.path
    rows = pq.read_metadata(path).num_rows
    for at in sorted({rows * turn // TRIED for turn in range(TRIED)}):
        item = read_rows(path, at, at + 1)
        try:
            run.corpus.source.fetch(item["uri"][0].as_py(), item["version"][0].as_py(), run.settings.max_bytes)
        except (ItemDeniedError, MovedError):
            continue
        except BadImageError:
            return
        return
    raise AccessDeniedError(f"{why}; none of the other items that were tried may be read either. Nothing was recorded")


class _Watch:
    """Passes progress on to the run, and judges the part after each batch."""

    def __init__(self, run: Run, work: Work) -> None:
        self.items = self._moved = self._quarantined = 0
        self._run, self._work = run, work
        self._reasons: Counter[str] = Counter()
        self._others_read = False

    @property
    def stopping(self) -> bool:
        return self._run.stopping

    def told(self, batch: Batch) -> None:
        self.items += batch.items
        self._moved += batch.moved
        self._quarantined += batch.quarantined
        self._reasons.update(batch.reasons)
        self._run.advance("embed", batch.items)
        if batch.denied and len(batch.denied) + batch.moved == batch.items and not self._others_read:
            refuse_denied_to_all(self._run, self._work, batch.denied[0])
            self._others_read = True
        self._judge()

    def note(self, text: str) -> None:
        self._run.note(text)

    def _judge(self) -> None:
        run = self._run
        quarantined = run.quarantined + self._quarantined
        attempted = run.attempted + self.items - self._moved
        if too_many_quarantined(quarantined, attempted, run.settings.quarantine_guard):
            most, times = self._reasons.most_common(1)[0] if self._reasons else ("", 0)
            raise RefusedError(
                f"{quarantined} of {attempted} images could not be embedded, over the quarantine_guard of"
                f" {run.settings.quarantine_guard:.0%}; most often ({times} times): {most}. The part in work was not"
                " published. If the images really are that bad, raise run.quarantine_guard"
            )
