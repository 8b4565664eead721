"""The plain values by which parts are made anywhere: what is to be done, what is told meanwhile, and who follows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pinery.config import Config
from pinery.embedding.columns import Known
from pinery.records import ModelCard, PartReport, Work


@dataclass(frozen=True, slots=True)
class Job:
    """The settings that a worker is started with; it takes secrets from its environment, as any process does."""

    config: Config
    """The settings, with the worker's own device in `model.device`."""
    card: ModelCard
    known: Callable[[], Known]
    """Opens the vectors that the checkpoint has; can be pickled."""
    threads: int
    """The CPU cores that are this worker's share."""
    fetch_threads: int
    """The threads that read items."""
    pixels: int
    """The pixels of all images that the worker may have in memory at once."""
    expected: int
    """The images that the worker will see, as far as is known."""
    on_device: int = 1
    """The workers that share its device."""


@dataclass(frozen=True, slots=True)
class Order:
    """A part to make: its items, and where to write it."""

    work: Work
    path: Path
    """The part's file; it is whole only once the part's report is there."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The outcomes of the items of one batch, counted."""

    items: int
    moved: int
    quarantined: int
    reasons: Mapping[str, int]
    """Quarantine reasons, each with the number of items."""
    examples: Mapping[str, str]
    """Some of the quarantined items, by id, with their reasons."""
    denied: tuple[str, ...] = ()
    """The reasons of those that access is denied to."""


class Watch(Protocol):
    """Whoever follows the making of one part."""

    @property
    def stopping(self) -> bool:
        """True where the part is to end at the next safe point, with a StoppedError."""

    def on_batch(self, progress: Progress) -> None:
        """Take note of a batch that is done. An error that this raises ends the making."""

    def note(self, text: str) -> None:
        """Take a line for the person who watches."""


class Staging(Protocol):
    """The place in the state where workers elsewhere leave finished parts, for the run to publish; can be pickled."""

    def check(self) -> None:
        """Raise ConfigError where this machine doesn't see the run's state, AccessDeniedError, TransientError."""

    def put(self, name: str, path: Path) -> None:
        """Move a finished local file to the place, under a name that no other file ever has there."""


class Workers(Protocol):
    """The place where parts are made, `count` of them at a time."""

    @property
    def staged(self) -> bool:
        """True where the file of a part ends in the staging place, under the name of its order's path.

        Otherwise it is at that path.
        """

    @property
    def count(self) -> int:
        """The number of parts that are made side by side."""

    def make(self, order: Order, watch: Watch) -> PartReport:
        """Make a part; see `PartMaker.make`. May be called from as many threads at once as there are workers."""
