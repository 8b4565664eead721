"""What helps to set a corpus up: `doctor` and `init`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pinery.reports.plain import plain


@dataclass(frozen=True, slots=True)
class Check:
    """One line of what `pinery doctor` found."""

    name: str
    verdict: str
    """`ok`, `warning` or `wrong`."""
    found: str
    advice: str = ""
    """What to do next, where there is something to do."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `pinery doctor` found, check by check."""

    config: str
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> str:
        """The worst verdict of all checks."""
        found = {one.verdict for one in self.checks}
        return next((verdict for verdict in ("wrong", "warning") if verdict in found), "ok")

    @property
    def exit_code(self) -> int:
        """The exit code of the command: 1 where something is wrong."""
        return int(self.verdict == "wrong")

    def to_dict(self) -> dict[str, Any]:
        """Return the diagnosis as `doctor --json` prints it."""
        return {"config": self.config, "verdict": self.verdict, "checks": [asdict(one) for one in self.checks]}


@dataclass(frozen=True, slots=True)
class Proposal:
    """A config that `pinery init` wrote, and what it saw of the images."""

    config: str
    """The path of the file."""
    corpus: str
    source: str
    suffixes: Mapping[str, int]
    """The number of images seen, by suffix; the commonest first."""
    left_out: Mapping[str, int]
    """The number of other files seen, by kind."""
    complete: bool
    """True where all files were looked at."""
    metadata: str | None
    """The proposed `source.metadata`; None where names and folders show no labels."""
    labels: tuple[str, ...]
    """Some of the labels that it finds."""

    def to_dict(self) -> dict[str, Any]:
        """Return the proposal as `init --json` prints it."""
        return plain(asdict(self))
