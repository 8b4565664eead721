"""What a run would do, as `plan --json` prints it and `plan --out` saves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pinery.reports.estimate import Estimate, counted, size
from pinery.reports.plain import plain


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """The changes that a run would make for one of its targets, counted in ids."""

    role: str
    """`live`, also for one that is to go live; or `kept` for one that is kept true beside it."""
    kind: str
    index: str | None
    """None, as the model and its key, while the config's model was never resolved in this state."""
    namespace: str
    model: str | None
    model_key: str | None
    listed: int
    new: int
    changed: int
    relabelled: int
    removed: int
    unchanged: int
    quarantined: int
    rejected: int
    to_embed: int
    """Items without a vector; none where a target before this one has the same model, and so has them embedded."""
    to_upsert: int
    to_delete: int
    parts: int
    """The parts that the images make."""
    examples: Mapping[str, tuple[str, ...]]
    """The first ids of `new`, `changed`, `relabelled`, `removed`, `unchanged`, `quarantined` and `rejected`."""
    refused: tuple[str, ...]
    """The reasons why the run would be refused."""
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Preview:
    """The changes that a run would make, counted in ids; the counts and sections are those of the main target."""

    corpus: str
    model_key: str | None
    index: str | None
    listed: int
    new: int
    changed: int
    relabelled: int
    removed: int
    deleted: int
    """The same number as `removed`, by the name that a run's report has for it."""
    unchanged: int
    quarantined: int
    rejected: int
    to_embed: int
    to_upsert: int
    to_delete: int
    limited: int | None
    parts: int
    refused: tuple[str, ...]
    """The reasons why the run would be refused, of all targets."""
    left_out: Mapping[str, int]
    """The number of files that the listing left out, by kind."""
    remarks: tuple[str, ...]
    targets: tuple[TargetPlan, ...]
    """A plan for each target that the run would bring true, the main one first."""
    estimate: Estimate
    """The work for all targets."""
    serial: str
    """Another one where listing, checkpoint, ledgers, alias or settings are others, or the work is."""
    seal: Mapping[str, Any]
    """The parts of the serial, by which a run that is given the plan finds out what moved since."""

    @property
    def action(self) -> str:
        """What the run would do, in one line."""
        work = self._work()
        if not self.refused:
            return work
        return f"A run would refuse this. Once that is settled: {work[0].lower()}{work[1:]}"

    def _work(self) -> str:
        estimate = self.estimate
        written = [one for one in self.targets if one.estimate.rows]
        deleted = [one for one in self.targets if one.to_delete]
        steps = [f"embed {counted(estimate.images, 'image')}"] if estimate.images else []
        if written:
            amount = counted(estimate.rows, "row") if estimate.bytes is None else size(estimate.bytes)
            steps.append(f"write {amount} to {counted(len(written), 'index', 'indexes')}")
        if deleted:
            rows = sum(one.to_delete for one in deleted)
            steps.append(f"delete {counted(rows, 'row')} from {counted(len(deleted), 'index', 'indexes')}")
        line = ", ".join(steps) or "nothing to do"
        return line[0].upper() + line[1:]

    def to_dict(self) -> dict[str, Any]:
        """Return the preview as `plan --json` prints it."""
        return plain(asdict(self) | {"action": self.action})
