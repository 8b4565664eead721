"""What a run would do, as `plan --json` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pinery.reports.plain import plain


@dataclass(frozen=True, slots=True)
class Estimate:
    """The time and money that a run would take; None where a rate is not known, or the index costs nothing."""

    embed_seconds: float | None
    write_units: int | None
    dollars: float | None
    import_dollars: float | None


@dataclass(frozen=True, slots=True)
class Preview:
    """The changes that a run would make, counted in ids."""

    corpus: str
    model_key: str | None
    index: str | None
    listed: int
    new: int
    changed: int
    relabelled: int
    deleted: int
    unchanged: int
    quarantined: int
    rejected: int
    to_embed: int
    to_upsert: int
    limited: int | None
    refused: tuple[str, ...]
    """The reasons why the run would be refused."""
    left_out: Mapping[str, int]
    remarks: tuple[str, ...]
    estimate: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return the preview as `plan --json` prints it."""
        return plain(asdict(self))
