"""A change of the live target, as `promote --json` and `rollback --json` print it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pinery.reports.plain import plain


@dataclass(frozen=True, slots=True)
class Promotion:
    """The target that is live now, and the one that was before and is kept true beside it."""

    corpus: str
    what: str
    """`promoted` or `rolled-back`."""
    live: Mapping[str, str]
    """Its `index`, `namespace`, `model` and `model_key`."""
    former: Mapping[str, str] | None
    """The same of the former one, with `until`, the end of its being kept; None where none was live."""
    generation: int
    gate: str
    """The verdict of the gate that the promotion went by; empty for a target that was live before."""

    def to_dict(self) -> dict[str, Any]:
        """Return the change as the commands print it."""
        return plain(asdict(self))
