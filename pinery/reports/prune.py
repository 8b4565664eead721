"""What a prune removes, as `prune --json` prints it."""

from dataclasses import asdict, dataclass
from typing import Any

from pinery.reports.plain import plain


@dataclass(frozen=True, slots=True)
class Removable:
    """One thing that nothing needs any more."""

    what: str
    """`part`, `checkpoint`, `index`, `listing`, `report`, `differences`, `export`, `staging`, `ledger`, `rejected`."""
    name: str
    """Its name in the state; of an index its kind, name and namespace."""
    bytes: int
    """About as many bytes are set free; of an index, those of its rows' vectors."""
    why: str


@dataclass(frozen=True, slots=True)
class Pruning:
    """What of a corpus can be removed, and what was."""

    corpus: str
    removable: tuple[Removable, ...]
    """All that was found when the prune began."""
    removed: tuple[Removable, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the pruning as `prune --json` prints it."""
        return plain(asdict(self))
