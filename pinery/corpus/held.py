"""A target whose lease a run holds: who may write to its checkpoint, its ledger and its index."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from pinery.checkpoint.lease import Lease
from pinery.checkpoint.ledger import Ledger
from pinery.corpus.tables import planned
from pinery.corpus.target import Target
from pinery.errors import TerminalError
from pinery.indexes.protocol import Index
from pinery.records import Identity

if TYPE_CHECKING:
    from pinery.corpus.run import Run


class HeldTarget:
    """One target in one run; made by `open_run`."""

    def __init__(self, run: Run, target: Target, lease: Lease, scratch: Path) -> None:
        self.run, self.target, self.lease, self.scratch = run, target, lease, scratch
        self.settings = target.config.run
        self.identity: Identity | None = None
        """Which index it is; None while there is none."""
        self.behind = ""
        """Why the index is ahead of this state; empty as a rule."""
        self.mark = ""
        """What this run left in the index before its first write there."""
        self.imported = 0
        """Rows that bulk imports brought to the index in this run."""
        self.not_indexed: Mapping[str, Mapping[str, int]] | None = None
        """Why items of the corpus are not in the index, once that is known: by kind, how many for each reason."""
        self._ledger: Ledger | None = None

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
        """Take the index for what was found, and open the ledger of that."""
        self.identity, self._ledger = found, self.target.ledger_of(found, self.lease.epoch)

    def check(self) -> None:
        """Raise StoppedError if the run is to stop, LeaseLostError if it may no longer write."""
        self.run.check()
        self.lease.check()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Check as `check` does, and hold the lease until what is written inside is over."""
        self.check()
        with self.lease.writing():
            yield

    @contextlib.contextmanager
    def planned(
        self, listing: Path, *, limit: int | None = None, retry_quarantined: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """The tables of the plan that brings the index to `listing`, as checkpoint and ledger are now."""
        with planned(
            self.scratch,
            listing,
            self.target.checkpoint,
            self.ledger,
            limit=limit,
            retry_quarantined=retry_quarantined,
        ) as con:
            yield con
