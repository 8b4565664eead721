"""Embed one part: have its file made, judge how it goes, and publish it as one Parquet file."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from pinery.checkpoint.known import KnownBytes, open_known
from pinery.checkpoint.staging import open_staging
from pinery.corpus.run import HeldTarget
from pinery.embedding.gpu_busy import GpuBusy
from pinery.embedding.job import Job, Order, Progress, Workers
from pinery.embedding.part import MAX_EXAMPLES, PartMaker
from pinery.embedding.places import choose_place, first_worker, open_workers
from pinery.embedding.processes import FirstWorker
from pinery.errors import (
    AccessDeniedError,
    BadImageError,
    ItemDeniedError,
    MovedError,
    NothingLiveError,
    PineryError,
    RefusedError,
    StoppedError,
    TerminalError,
)
from pinery.parquet.files import read_rows
from pinery.planning.guards import too_many_quarantined
from pinery.records import PartReport, Work
from pinery.reports import WorkersReport

MIN_ATTEMPTS = 10
"""Fewer failures than this may all be the items' own."""
TRIED = 16
"""Items, spread over the listing, that are tried where access to some is denied."""
SHOWN_EXAMPLES = 3
MANY = 1_000_000
"""The items that a first run is taken to embed, until they are listed."""


class Attempts:
    """Counts of the items that one run tried to embed for one target. Several threads may add to it."""

    def __init__(self) -> None:
        self.published = self.quarantined = self.moved = 0
        """Items of which a verdict or a vector was published; those of them with a verdict; and those that moved."""
        self.examples: dict[str, str] = {}
        """Why some of the items could not be embedded, by id; also where nothing of their part was published."""
        self.workers: WorkersReport | None = None
        """Where the parts were made, once they are."""
        self._lock = threading.Lock()

    def add(self, made: PartReport) -> None:
        """Count a part that is published."""
        with self._lock:
            self.published += made.rows
            self.quarantined += made.quarantined
            self.moved += made.moved

    def add_examples(self, examples: Mapping[str, str]) -> None:
        """Keep some of these, unless there are enough."""
        with self._lock:
            room = max(0, MAX_EXAMPLES - len(self.examples))
            self.examples |= dict(islice(examples.items(), room))

    def named(self) -> str:
        """A few items with their reasons, as text."""
        return "; ".join(f"{id}: {reason}" for id, reason in islice(self.examples.items(), SHOWN_EXAMPLES))


class Embedding:
    """The workers, known bytes and counts that the parts of one target share while they are embedded."""

    def __init__(self, held: HeldTarget, known: KnownBytes, workers: Workers, attempts: Attempts) -> None:
        self.held, self.known, self.workers, self.attempts = held, known, workers, attempts
        self._lock = threading.Lock()

    def refresh_known(self) -> None:
        """Take what was published since the last time into the table of known bytes."""
        with self._lock:
            self.known.refresh()

    def publish(self, work: Work, path: Path) -> None:
        """Publish the file that was made for `path` as the part of `work`."""
        held, checkpoint = self.held, self.held.target.checkpoint
        with held.writing():
            if self.workers.staged:
                checkpoint.publish_staged(work.part, self._staged(path))
            else:
                checkpoint.publish(work.part, path)

    def discard(self, path: Path) -> None:
        """Remove what was made for `path`, if anything is left; the next run removes what can't be removed now."""
        path.unlink(missing_ok=True)
        if self.workers.staged:
            with contextlib.suppress(PineryError):
                self.held.target.store.delete(self._staged(path))

    def _staged(self, path: Path) -> str:
        target = self.held.target
        return f"{target.paths.staging(target.card.key)}/{path.name}"


def start_early(held: HeldTarget, limit: int | None = None) -> AbstractContextManager[FirstWorker]:
    """Have a worker process get ready while the run lists and plans, if the checkpoint is empty: all is embedded then.

    It ends at once with the `with`, unless `open_embedding` used it.
    """
    target = held.target
    items = 0 if target.checkpoint.names() else limit or MANY
    return first_worker(target.config, target.card, items, partial(open_known, target.config, target.card.key))


@contextlib.contextmanager
def open_embedding(
    held: HeldTarget, attempts: Attempts, items: int, first: FirstWorker | None = None
) -> Iterator[Embedding]:
    """Open the workers, of which the first may be there already, and known bytes for so many items."""
    target, source = held.target, held.run.corpus.source
    place = choose_place(target.config, items)
    elsewhere = partial(open_known, target.config, target.card.key)
    staging = partial(open_staging, target.config, target.store, target.card.key)
    with contextlib.closing(KnownBytes(target.checkpoint)) as known:

        def here(job: Job) -> PartMaker:
            return PartMaker(job, source, known, target.model)

        with (
            GpuBusy(place.gpus) as busy,
            open_workers(place, target.config, target.card, items, here, elsewhere, staging, first) as workers,
        ):
            yield Embedding(held, known, workers, attempts)
            if items:
                attempts.workers = WorkersReport(place.kind, workers.count, place.why, _rounded(busy.share()))


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 3)


def embed_part(embedding: Embedding, work: Work) -> PartReport:
    """Embed the rows of `work` and publish them as its part; nothing is published unless all of it is done.

    The report's seconds are divided by the number of workers, so that they add up to wall time as those of one do.

    Raises RefusedError where too many items end in quarantine, AccessDeniedError, TransientError (the part can be
    tried again), StoppedError.
    """
    held, workers = embedding.held, embedding.workers
    path = held.scratch / f"{work.part}-{uuid.uuid4().hex}.parquet"
    watch = _Watch(embedding, work)
    try:
        embedding.refresh_known()
        made = workers.make(Order(work, path), watch)
        if made.rows:
            embedding.publish(work, path)
    except BaseException as error:
        held.run.advance("embed", -watch.items)  # it will be done anew, or never
        if isinstance(error, StoppedError):
            held.check()  # the reason why it was asked to stop says more
        raise
    finally:
        embedding.discard(path)
    embedding.attempts.add(made)
    return replace(made, seconds={name: value / workers.count for name, value in made.seconds.items()})


def refuse_nothing_but_failures(attempts: Attempts, live_before: int) -> None:
    """Raise where every attempted item failed or moved, and that says something is wrong with more than them.

    It does where all moved (TerminalError: they are listed anew), with ten attempts or more, and where nothing else of
    the corpus is in the index, which had `live_before` rows (NothingLiveError).
    """
    moved, quarantined = attempts.moved, attempts.quarantined
    tried = attempts.published + moved
    if not tried or attempts.published > quarantined:
        return
    if moved == tried:
        raise TerminalError(
            f"all {tried} images that this run tried to embed had changed or vanished since they were listed. Nothing"
            " was deleted, and what the index holds of them stays until they are listed as they are. Is the source"
            " complete, and is it at rest?"
        )
    if tried >= MIN_ATTEMPTS or not live_before:
        vanished = f", and {moved} had changed or vanished since they were listed" if moved else ""
        share = f"{quarantined} of {tried}" if moved else f"all {tried}"
        raise NothingLiveError(
            f"{share} images that this run tried to embed were quarantined{vanished}: {attempts.named()}. Nothing was"
            " deleted. Later runs leave the quarantined ones out, and `pinery status` lists them; once the cause is"
            " mended, `retry_quarantined` tries them again"
        )


def refuse_denied_to_all(held: HeldTarget, work: Work, why: str) -> None:
    """Raise AccessDeniedError, saying `why`, where none of the listed items that are tried can be read.

    Then it is not a few items that are closed, but the source or these credentials, and nothing is said of any item.
    """
    corpus = held.run.corpus
    name = corpus.current_listing()
    path = corpus.store.local(name) if name else work.path
    rows = pq.read_metadata(path).num_rows
    for at in sorted({rows * turn // TRIED for turn in range(TRIED)}):
        item = read_rows(path, at, at + 1)
        try:
            corpus.source.fetch(item["uri"][0].as_py(), item["version"][0].as_py(), held.settings.max_bytes)
        except (ItemDeniedError, MovedError):
            continue
        except BadImageError:
            return
        return
    raise AccessDeniedError(f"{why}; none of the other items that were tried may be read either. Nothing was recorded")


class _Watch:
    """Passes progress on to the run, and judges the part after each batch."""

    def __init__(self, embedding: Embedding, work: Work) -> None:
        self.items = self._moved = self._quarantined = 0
        self._held, self._attempts, self._work = embedding.held, embedding.attempts, work
        self._reasons: Counter[str] = Counter()
        self._others_read = False

    @property
    def stopping(self) -> bool:
        return self._held.stopping

    def on_batch(self, progress: Progress) -> None:
        self.items += progress.items
        self._moved += progress.moved
        self._quarantined += progress.quarantined
        self._reasons.update(progress.reasons)
        self._attempts.add_examples(progress.examples)
        self._held.run.advance("embed", progress.items)
        if progress.denied and len(progress.denied) + progress.moved == progress.items and not self._others_read:
            refuse_denied_to_all(self._held, self._work, progress.denied[0])
            self._others_read = True
        self._judge()

    def note(self, text: str) -> None:
        self._held.run.note(text)

    def _judge(self) -> None:
        attempts, guard = self._attempts, self._held.settings.quarantine_guard
        quarantined = attempts.quarantined + self._quarantined
        attempted = attempts.published + self.items - self._moved
        if too_many_quarantined(quarantined, attempted, guard):
            most, times = self._reasons.most_common(1)[0] if self._reasons else ("", 0)
            raise RefusedError(
                f"{quarantined} of {attempted} images could not be embedded, over the quarantine_guard of"
                f" {guard:.0%}; most often ({times} times): {most}. Among them are {attempts.named()}. The part in work"
                " was not published; `pinery status` lists more of them. If the images really are that bad, raise"
                " run.quarantine_guard"
            )
