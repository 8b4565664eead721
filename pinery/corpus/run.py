"""A run of a corpus, and the targets whose leases it holds: who may write to checkpoint, ledger and index."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from pinery.checkpoint.alias import Alias, IndexEntry
from pinery.checkpoint.lease import Lease
from pinery.checkpoint.ledger import Ledger
from pinery.corpus.corpus import Corpus
from pinery.corpus.live import SeenAlias
from pinery.corpus.progress import Progress
from pinery.corpus.tables import planned
from pinery.corpus.target import Target
from pinery.errors import PineryError, StoppedError, TerminalError
from pinery.indexes.protocol import Index
from pinery.records import Identity


class Run:
    """One run of one corpus; made by `open_run`. It knows when to stop, and tells how it goes on."""

    def __init__(self, corpus: Corpus, progress: Progress) -> None:
        self.corpus = corpus
        self.name = ""
        self.started = datetime.now(UTC)
        self.targets: list[HeldTarget] = []
        """The targets that the run brings true, the main one first."""
        self.left_out: list[tuple[IndexEntry, str]] = []
        """The kept targets that the run could not bring true, and why."""
        self.seconds: dict[str, float] = {}
        """Wall time of each stage."""
        self.counted = Counter[str]()
        """Requests to indexes that were repeated (`retries`, `throttled`), and seconds before that (`waited`)."""
        self.seen = SeenAlias(corpus)
        """The alias that the run saw once it had its lease: going live replaces that one, or fails."""
        self._totals: dict[str, int] = {}
        self._progress = progress
        self._counting = threading.Lock()
        self._stopped = threading.Event()
        self._reason: PineryError = StoppedError("the run was asked to stop")
        self._moved_on = time.monotonic()

    @property
    def main(self) -> HeldTarget:
        """The target that the run is for: the live one, or one that goes live in the end."""
        return self.targets[0]

    @property
    def alias(self) -> Alias:
        """The alias that the run saw."""
        return self.seen.alias

    def leave_out(self, entry: IndexEntry, why: str) -> None:
        """Go on without a kept target, and say so."""
        self.targets = [held for held in self.targets if not held.target.entry.same_place(entry)]
        self.left_out.append((entry, why))
        self.note(f"index {entry.name}, which is kept true until {entry.until}, is left out of this run: {why}")

    def check(self) -> None:
        """Raise StoppedError, or what else the run was stopped for, if it is to stop."""
        if self._stopped.is_set():
            raise self._reason

    @property
    def stopping(self) -> bool:
        """True where the run is to stop at the next safe point."""
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

    def expect(self, totals: Mapping[str, int]) -> None:
        """Show stages with these totals from now on, by name: what the plans of all targets come to together."""
        self._totals = dict(totals)

    @contextlib.contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[None]:
        """Add the time that is spent inside to the `seconds` of the stage."""
        self._progress.start(name, self._totals.get(name, total))
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began

    def advance(self, stage: str, items: int) -> None:
        """Show that `items` more are done in `stage`."""
        self._moved_on = time.monotonic()
        self._progress.advance(stage, items)

    def note(self, text: str) -> None:
        """Show a line to the person who watches."""
        self._progress.note(text)

    def count(self, what: str, amount: float) -> None:
        """Add to what is `counted`; several threads may do that."""
        with self._counting:
            self.counted[what] += amount  # type: ignore[assignment]  # seconds are counted too

    def idle_seconds(self) -> float:
        """Return the seconds since the run last made progress."""
        return time.monotonic() - self._moved_on


class HeldTarget:
    """One target in one run; made by `open_run`."""

    def __init__(self, run: Run, target: Target, lease: Lease, scratch: Path) -> None:
        self.run, self.target, self.lease, self.scratch = run, target, lease, scratch
        self.settings = target.config.run
        self.identity: Identity | None = None
        """The identity of the index; None while there is none."""
        self.behind = ""
        """The reason why the index is ahead of this state; usually empty."""
        self.mark = ""
        """The mark that this run left in the index before its first write there; empty until then."""
        self.imported = 0
        """Rows that bulk imports brought to the index in this run."""
        self.not_indexed: Mapping[str, Mapping[str, int]] | None = None
        """The number of items that are not in the index, by kind and by reason, once that is known."""
        self._ledger: Ledger | None = None
        self._stopped = threading.Event()

    @property
    def stopping(self) -> bool:
        """True where work for this target is to stop at the next safe point."""
        return self._stopped.is_set() or self.run.stopping

    def stop(self) -> None:
        """Ask every step of this target to end; where it is the main one, every step of the run."""
        self._stopped.set()
        if self is self.run.main:
            self.run.stop()

    @property
    def index(self) -> Index:
        """The target's index."""
        return self.target.index

    @property
    def ledger(self) -> Ledger:
        """The ledger of the index, written under this run's lease; only after the index was looked up."""
        if self._ledger is None:
            raise TerminalError(f"index {self.target.name} was not looked up yet in this run")
        return self._ledger

    def identify(self, found: Identity | None) -> None:
        """Remember the identity that was found, and open the ledger of that index."""
        self.identity, self._ledger = found, self.target.ledger_of(found, self.lease.epoch)

    def check(self) -> None:
        """Raise StoppedError if the run is to stop, LeaseLostError if it may no longer write."""
        self.run.check()
        if self._stopped.is_set():
            raise StoppedError(f"the work for index {self.target.name} was asked to stop")
        self.lease.check()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Check that the run may write, and hold the lease until what is written inside is over."""
        self.check()
        with self.lease.writing():
            yield

    def planned(
        self, listing: Path, *, limit: int | None = None, retry_quarantined: bool = False
    ) -> contextlib.AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Return the tables of the plan that brings the index to `listing`, as checkpoint and ledger are now."""
        checkpoint, ledger = self.target.checkpoint, self.ledger
        return planned(self.scratch, listing, checkpoint, ledger, limit=limit, retry_quarantined=retry_quarantined)


@contextlib.contextmanager
def unless_kept(held: HeldTarget, but: tuple[type[PineryError], ...] = ()) -> Iterator[None]:
    """Leave a kept target out of the run where what is done inside fails; the main target's failure is the run's.

    Errors of the types in `but` are raised for a kept target too.
    """
    try:
        yield
    except PineryError as error:
        if held is held.run.main or isinstance(error, but):
            raise
        held.run.check()
        held.stop()
        held.run.leave_out(held.target.entry, str(error))
