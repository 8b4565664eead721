"""Embed one part: have its file made, judge how it goes, and publish it as one Parquet file."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice

import pyarrow.parquet as pq

from pinery.checkpoint.parquet import read_rows
from pinery.errors import (
    AccessDeniedError,
    BadImageError,
    ItemDeniedError,
    MovedError,
    NothingLiveError,
    RefusedError,
    StoppedError,
    TerminalError,
)
from pinery.planning.guards import too_many_quarantined
from pinery.planning.plan import PlanCounts
from pinery.records import PartReport
from pinery.steps.lanes import Lanes
from pinery.steps.make_part import MAX_EXAMPLES, Batch, Order
from pinery.steps.make_plan import Work
from pinery.steps.run import Run

TELLING = 10
TRIED = 16
"""Items, spread over the listing, that are tried where access to some is denied."""
SHOWN_EXAMPLES = 3

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
        run.moved += made.moved
    return replace(made, seconds={name: value / lanes.count for name, value in made.seconds.items()})


def refuse_nothing_but_failures(run: Run, live_before: int) -> None:
    """Raise where every attempted item failed or moved, and that says something is wrong with more than them.

    It does where all moved (TerminalError: they are listed anew), with ten attempts or more, and where nothing else of
    the corpus is in the index, which had `live_before` rows (NothingLiveError).
    """
    tried = run.attempted + run.moved
    if not tried or run.attempted > run.quarantined:
        return
    if run.moved == tried:
        raise TerminalError(
            f"all {tried} images that this run tried to embed had changed or vanished since they were listed. Nothing"
            " was deleted, and what the index holds of them stays until they are listed as they are. Is the source"
            " complete, and is it at rest?"
        )
    if tried >= TELLING or not live_before:
        moved = f", and {run.moved} had changed or vanished since they were listed" if run.moved else ""
        share = f"{run.quarantined} of {tried}" if moved else f"all {tried}"
        raise NothingLiveError(
            f"{share} images that this run tried to embed were quarantined{moved}: {_named(run.examples)}. Nothing was"
            " deleted. Later runs leave the quarantined ones out, and `pinery status` lists them; once the cause is"
            " mended, --retry-quarantined tries them again"
        )


def refuse_an_empty_index(run: Run, counts: PlanCounts) -> None:
    """Raise NothingLiveError where the index holds nothing of what is listed, whichever run found out why."""
    if counts.held or counts.doubtful:
        return
    raise NothingLiveError(
        f"none of the {counts.listed} listed images of corpus {run.corpus.config.corpus} is in index"
        f" {run.corpus.index_name}: {counts.quarantined} are quarantined, {counts.rejected} rejected and"
        f" {counts.awaited} not embedded. `pinery status` lists them with reasons; once the cause is mended,"
        " `pinery run` with --retry-quarantined tries them again"
    )


def _named(examples: Mapping[str, str]) -> str:
    """A few items with their reasons, as text."""
    return "; ".join(f"{id}: {reason}" for id, reason in islice(examples.items(), SHOWN_EXAMPLES))


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
        room = MAX_EXAMPLES - len(self._run.examples)
        self._run.examples |= dict(islice(batch.examples.items(), max(0, room)))
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
                f" {run.settings.quarantine_guard:.0%}; most often ({times} times): {most}. Among them are"
                f" {_named(run.examples)}. The part in work was not published; `pinery status` lists more of them. If"
                " the images really are that bad, raise run.quarantine_guard"
            )
