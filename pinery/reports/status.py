"""What the state knows of a corpus and of its past runs: `status`, `runs` and `remove`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pinery.reports.plain import plain
from pinery.reports.run import RunReport


@dataclass(frozen=True, slots=True)
class Change:
    """One change of what is live; `at` is ISO 8601 in UTC, `live` is empty once nothing is live."""

    at: str
    run: str
    live: str
    what: str = "run"
    """`run`, `promoted`, `rolled-back` or `removed`."""
    gate: str = ""
    """The verdict that a promotion went by; `forced` is added where it wasn't `pass`."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A namespace that was removed from an index, or would be."""

    corpus: str
    kind: str
    index: str
    namespace: str
    rows: int
    removed: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the removal as `remove --json` prints it."""
        return plain(asdict(self))


@dataclass(frozen=True, slots=True)
class PastRun:
    """One line of a corpus' history."""

    run: str
    flow: str
    """`reindex`, `upsert`, `verify` or `backfill`."""
    started: str
    state: str
    """As in a run's report; `died` for one that says it is running and isn't."""
    wall_seconds: float | None
    """From its start to its end; None where it has no end."""
    embedded: int | None
    upserted: int | None
    deleted: int | None
    quarantined: int | None
    rejected: int | None
    images_per_second: float | None
    seconds: Mapping[str, float] | None
    """Wall time of each stage."""
    bottleneck: str | None
    pace: str | None = None
    """`slower` or `faster` than the median of the last completed runs of its size; None where it is as fast, or too
    few are known."""
    amount: str | None = None
    """`more` or `fewer` images embedded than the median of the last completed runs."""


@dataclass(frozen=True, slots=True)
class History:
    """The runs of a corpus that the state still has reports of, the newest first."""

    corpus: str
    state: str
    """The path or address of the state."""
    runs: tuple[PastRun, ...]
    skipped: tuple[Mapping[str, str], ...]
    """Files that are no reports of this corpus, each with its `file` and `why`."""

    def to_dict(self) -> dict[str, Any]:
        """Return the history as `runs --json` prints it."""
        return plain(asdict(self))


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """One target of a corpus, as the state has it against the current listing."""

    role: str
    """`live`, `kept` or `candidate`; `config` for the config's own as long as none is live."""
    index: str
    namespace: str
    model: str
    model_key: str
    held: int
    """Rows that the index acknowledged to hold."""
    vectors: int
    """Vectors of listed items in the checkpoint."""
    left: Mapping[str, int]
    """The numbers of items to `embed`, `upsert` and `delete`."""


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a corpus, from its state. Before the first run there is no model, and all counts are 0."""

    corpus: str
    state: str
    """The path or address of the state."""
    model: str | None = None
    model_key: str | None = None
    live: Mapping[str, str] | None = None
    """The live target: its `kind`, `index`, `namespace`, `model` and `model_key`."""
    generation: int = 0
    """The number of times that another index became live."""
    kept: tuple[Mapping[str, str], ...] = ()
    """Targets that every run keeps true beside the live one, each with `until`, the end of that."""
    candidates: tuple[Mapping[str, str], ...] = ()
    """Targets that backfills fill or have filled, each with `gate`, the verdict on it."""
    retired: tuple[Mapping[str, str], ...] = ()
    """Indexes that no run keeps true any more, each with `since`, and `remove`, the command that removes it."""
    targets: tuple[TargetStatus, ...] = ()
    """A row for the live target, each kept one and each candidate."""
    history: tuple[Change, ...] = ()
    """The last changes of what is live, the newest last."""
    remark: str = ""
    """Where the config's model is not the live one: what a run does about it."""
    running: str | None = None
    """The run that is under way."""
    last_run: RunReport | None = None
    runs: tuple[PastRun, ...] = ()
    """The last runs, the newest first, with their trend."""
    parts: int = 0
    held: int = 0
    awaited: int = 0
    quarantined: tuple[Mapping[str, str], ...] = ()
    """Listed items that can't be embedded, each with its `id`, `uri` and `reason`."""
    rejected: tuple[Mapping[str, str], ...] = ()
    """Listed items that the index refused, each with its `id`, `uri` and `reason`."""
    left: Mapping[str, int] = field(default_factory=lambda: {"embed": 0, "upsert": 0, "delete": 0})
    """The numbers of items that the next run has to `embed`, `upsert` and `delete`, by the current listing."""

    def to_dict(self) -> dict[str, Any]:
        """Return the status as `status --json` prints it."""
        return plain(asdict(self)) | {"last_run": self.last_run.to_dict() if self.last_run else None}


@dataclass(frozen=True, slots=True)
class RunsCompared:
    """What differs between the reports of two runs."""

    corpus: str
    run: str
    other: str
    differences: tuple[Mapping[str, Any], ...]
    """Each has a `group` (such as `counts`), a `name`, and its values in `run` and in `other`, maybe null."""

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as `runs CONFIG RUN OTHER --json` prints it."""
        return plain(asdict(self))
