"""The differences between an index and the live rows, as `verify --json` prints them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from pinery.reports.plain import plain


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences between an index and the live rows, in ids; each id counts once."""

    expected: int
    """Live rows that the index did not reject."""
    held: int
    """Ids that the index listed."""
    missing: int
    """Ids that are live and not in the index."""
    extra: int
    """Ids that are in the index and not live."""
    stale: int
    """Ids in the index for which the ledger has another version or other metadata, or is in doubt."""
    wrong: int
    """Ids with another vector than the checkpoint's."""
    wrong_metadata: int
    """Ids with other metadata than the listing's."""
    checked: int
    """Rows whose vector and metadata were fetched and compared."""
    awaited: int
    """Items listed in a version that is not embedded yet; what the index holds for them stays, however old."""
    rounded: int
    """Compared vectors that differ by rounding alone: within 1e-6 relative, but not equal as float32."""

    @property
    def different(self) -> int:
        """The number of ids that differ in any way."""
        return self.missing + self.extra + self.stale + self.wrong + self.wrong_metadata


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The result of `pinery verify`: the differences that it found and repaired."""

    run: str
    corpus: str
    model_key: str
    kind: str
    index: str
    namespace: str
    full: bool
    counts: Comparison
    differences: str | None
    """The path of the file with the ids that differ."""
    repaired: Mapping[str, int] | None
    """The numbers of rows that were `upserted` and `deleted`; None where nothing had to be repaired."""
    seconds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as `verify --json` prints it, with the counts beside the other keys."""
        data = plain(asdict(self))
        counts: dict[str, Any] = data.pop("counts")
        return data | counts

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> VerifyReport:
        """Return the report whose `to_dict` returned `data`."""
        counts = Comparison(**{one.name: data[one.name] for one in fields(Comparison)})
        return cls(counts=counts, **{one.name: data[one.name] for one in fields(cls) if one.name != "counts"})
