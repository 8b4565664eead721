"""A run: the one writer of a corpus' checkpoint and index, from taking the lease to letting go of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from pinery.checkpoint.known import KnownBytes
from pinery.checkpoint.lease import Holder, Lease
from pinery.checkpoint.ledger import Ledger
from pinery.checkpoint.store import is_full
from pinery.config import PineconeSettings
from pinery.errors import NoRoomError, PineryError, RefusedError, StoppedError, TerminalError, TransientError
from pinery.models.protocol import Model
from pinery.records import Identity
from pinery.steps.corpus import Corpus

if TYPE_CHECKING:
    from pinery.steps.make_plan import Work

STALL_CHECKS = 20
STALL_GRACE = 60.0
STAMP = "%Y%m%dT%H%M%S%fZ"


class Progress(Protocol):
    """Who is told how a run goes on."""

    def start(self, stage: str, total: int | None) -> None:
        """A stage began; `total` items if known."""

    def advance(self, stage: str, items: int) -> None:
        """`items` more are done."""

    def note(self, text: str) -> None:
        """A line for the person who watches: a wait, a warning."""


class Silent:
    """Tells nobody."""

    def start(self, stage: str, total: int | None) -> None:
        """See Progress."""

    def advance(self, stage: str, items: int) -> None:
        """See Progress."""

    def note(self, text: str) -> None:
        """See Progress."""


class Run:
    """One run of one corpus; made by `open_run`."""

    def __init__(self, corpus: Corpus, lease: Lease, scratch: Path, progress: Progress) -> None:
        self.corpus, self.name, self.lease, self.scratch = corpus, lease.run, lease, scratch
        self.started = datetime.now(UTC)
        self.seconds: dict[str, float] = {}
        self.attempted = 0
        """Items of which a verdict or a vector was published."""
        self.quarantined = 0
        self.moved = 0
        self.examples: dict[str, str] = {}
        """Why some of the items could not be embedded, by id; also where nothing of their part was published."""
        self.imported = 0
        self.left_out: dict[str, int] = {}
        """What the listing left out, by kind."""
        self.remarks: list[str] = []
        """What else was worth telling of the listing."""
        self.identity: Identity | None = None
        self.ledger: Ledger | None = None
        self.held_back: list[pa.Table] = []
        """Rows (REJECTED_SCHEMA) that the index refused before it took any of this run's."""
        self.not_indexed: dict[str, dict[str, int]] | None = None
        """Why items of the corpus are not in the index, once that is known: by kind, how many for each reason."""
        self.probe: Work | None = None
        """A row that the index held as it should be when the run was planned; None where there was none."""
        self.witness: pa.RecordBatch | None = None
        """A row (ROWS_SCHEMA) that the index acknowledged in this run."""
        self.alias, self.alias_tag = corpus.refuse_another_model()
        """What was live when the run began: it goes live in the place of that, or not at all."""
        self.settings = corpus.config.run
        self._progress = progress
        self._stopped = threading.Event()
        self.behind = ""
        """Why the run's index is ahead of this state; empty as a rule."""
        self.mark = ""
        """What this run left in its index before its first write there."""
        self._reason: PineryError = StoppedError("the run was asked to stop")
        self._model_lock = threading.Lock()
        self._moved_on = time.monotonic()

    def check(self) -> None:
        """Raise StoppedError if the run is to stop, LeaseLostError if it may no longer write."""
        if self._stopped.is_set():
            raise self._reason
        self.lease.check()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Check as `check` does, and hold the lease until what is written inside is over."""
        self.check()
        with self.lease.writing():
            yield

    @property
    def stopping(self) -> bool:
        """Whether the run is to stop at the next safe point."""
        return self._stopped.is_set()

    def stop(self, reason: PineryError | None = None) -> None:
        """Ask every step to end at its next safe point."""
        if reason is not None and not self._stopped.is_set():
            self._reason = reason
        self._stopped.set()

    def pause(self, seconds: float) -> None:
        """Wait, unless the run is to stop."""
        self._moved_on = time.monotonic()  # waiting out an outage has its own limit
        self._stopped.wait(seconds)
        self.check()

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[None]:
        """Time a stage; its seconds add up in `seconds`."""
        self._progress.start(name, total)
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began

    def advance(self, stage: str, items: int) -> None:
        """Tell that `items` more are done in `stage`."""
        self._moved_on = time.monotonic()
        self._progress.advance(stage, items)

    def note(self, text: str) -> None:
        """Tell the person who watches."""
        self._progress.note(text)

    @cached_property
    def known(self) -> KnownBytes:
        """The vectors already there, by the bytes of their images."""
        return KnownBytes(self.corpus.checkpoint)

    def model(self) -> Model:
        """The corpus' model, loaded once; safe to call from several threads."""
        with self._model_lock:
            return self.corpus.model()

    @property
    def open_ledger(self) -> Ledger:
        """The ledger of the run's index; only after the index was looked up."""
        if self.ledger is None:
            raise TerminalError("the index of this run was not looked up yet")
        return self.ledger

    def idle_seconds(self) -> float:
        """Seconds since anything last moved on."""
        return time.monotonic() - self._moved_on

    def close(self) -> None:
        """Let go of local files."""
        if "known" in self.__dict__:
            self.known.close()
        shutil.rmtree(self.scratch, ignore_errors=True)


@contextlib.contextmanager
def open_run(corpus: Corpus, *, wait: bool = False, progress: Progress | None = None) -> Iterator[Run]:
    """Take the lease and yield the run; let go of everything at the end, whatever the end is.

    Raises LeaseHeldError while another run holds the lease (unless `wait`), RefusedError where the live index belongs
    to another model.
    """
    watcher = progress or Silent()
    corpus.refuse_another_model()
    with _lease(corpus, wait, watcher) as lease:
        folder = f"{corpus.config.corpus}/{corpus.card.key}"
        _remove_leftovers(corpus.store.scratch(folder))
        run = Run(corpus, lease, corpus.store.scratch(f"{folder}/{lease.run}"), watcher)
        ended = threading.Event()
        threading.Thread(target=_watch, args=(run, ended), name="stall", daemon=True).start()
        try:
            yield run
        except BaseException as error:
            run.stop()
            if not isinstance(error, TransientError | RefusedError | StoppedError):
                lease.check()  # whoever took it over has tidied our files away; that, not the missing file, is the news
            if is_full(error) and not isinstance(error, NoRoomError):
                raise NoRoomError(
                    f"there is no room for the files of this run ({error}); make room on the disk of {run.scratch}."
                    " What is published is whole"
                ) from error
            raise
        finally:
            ended.set()
            run.close()


def _lease(corpus: Corpus, wait: bool, progress: Progress) -> Lease:
    def waiting(holder: Holder) -> None:
        if holder.run not in told:
            told.add(holder.run)
            seconds = lease.silence_of(holder)
            if holder.released:
                text = f"run {holder.run} ended with a request unanswered; waiting {seconds:.0f} s until it is over"
            elif wait:
                text = f"waiting for run {holder.run} on {holder.host} (pid {holder.pid}) to end"
            else:
                text = (
                    f"run {holder.run} on {holder.host} (pid {holder.pid}) seems to be gone and never let go of its"
                    f" lease; watching that for {seconds:.0f} s before going on"
                )
            progress.note(text)

    told: set[str] = set()

    def name_run() -> str:
        return run_name(datetime.now(UTC), corpus.current_listing())

    place, config = corpus.paths.lease(corpus.card.key), corpus.config
    # What is embedded in this process has no request on a wire.
    life = config.upsert.request_timeout if isinstance(config.index, PineconeSettings) else 0.0
    lease = Lease(corpus.store, place, name_run, config.run.lease_ttl, wait, waiting, life)
    return lease


def run_name(now: datetime, newest_listing: str | None) -> str:
    """A name that sorts after those of all earlier runs, whatever the clocks of the hosts that they ran on said."""
    stamp = f"{now:{STAMP}}"
    newest = (newest_listing or "").rpartition("/")[2].partition("-")[0]
    if stamp <= newest:
        stamp = f"{datetime.strptime(newest, STAMP) + timedelta(microseconds=1):{STAMP}}"
    return f"{stamp}-{uuid.uuid4().hex[:6]}"


def _remove_leftovers(folder: Path) -> None:
    # The lease is ours, so whatever lies here belongs to a run that died.
    for path in folder.iterdir():
        shutil.rmtree(path, ignore_errors=True)


def _watch(run: Run, ended: threading.Event, exit: Callable[[int], None] = os._exit) -> None:
    limit = run.settings.stall_timeout
    while not ended.wait(limit / STALL_CHECKS):
        if run.idle_seconds() > limit:
            text = (
                f"no progress for {limit:g} s (run.stall_timeout); the run gave up. Run the same command again to go on"
            )
            run.stop(TerminalError(text))
            if not ended.wait(STALL_GRACE):
                run.lease.release()
                sys.stderr.write(f"error: {text}\n")
                exit(1)
