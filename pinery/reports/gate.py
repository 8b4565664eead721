"""The judgement of a candidate against the live target, as `backfill --json` prints it under `gate`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from pinery.reports.plain import plain

Verdict = Literal["pass", "fail", "undecided"]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One of the vectors nearest to a query by exact search; `score` is in the index's metric, and higher is nearer."""

    id: str
    score: float


@dataclass(frozen=True, slots=True)
class Precision:
    """Same-label precision@5: the share of a query's first five neighbours that have its label, a mean over queries."""

    old: float
    """That of the live target's model."""
    new: float
    """That of the candidate's model."""
    difference: float
    """`new` minus `old`."""
    low: float
    high: float
    """The ends of the bootstrap interval of the difference."""


@dataclass(frozen=True, slots=True)
class ChangedQuery:
    """A query whose neighbours differ between the two models, with both lists, best first and without the query."""

    id: str
    jaccard: float
    rbo: float
    old: tuple[Neighbour, ...]
    new: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True)
class Gate:
    """The result of the gate: whether a candidate may take the live target's place, and why."""

    verdict: Verdict
    reasons: tuple[str, ...]
    """Whole sentences with figures: what decided, and what could not be judged."""
    queries: int
    """Items whose neighbours were compared or, without a live target, searched for in the index."""
    recall_at_10: float | None
    """The share of the ten nearest vectors of the candidate's checkpoint that its index finds; a mean over queries."""
    jaccard_at_10: float | None
    """The Jaccard index of the ten neighbours by the old and by the new model; a mean over queries."""
    rbo: float | None
    """Their rank-biased overlap, extrapolated, with p = 0.9; a mean over queries."""
    precision_at_5: Precision | None
    """None where no query has a label, or nothing is live."""
    changed: tuple[ChangedQuery, ...]
    """At most ten queries, those whose neighbours changed most first."""
    seconds: float
    """Wall time."""

    def to_dict(self) -> dict[str, Any]:
        """Return the judgement as `backfill --json` prints it."""
        return plain(asdict(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Gate:
        """Return the judgement whose `to_dict` returned `data`."""
        precision = data["precision_at_5"]
        own = {
            "reasons": tuple(data["reasons"]),
            "precision_at_5": Precision(**precision) if precision else None,
            "changed": tuple(_changed(one) for one in data["changed"]),
        }
        return cls(**{one.name: own.get(one.name, data[one.name]) for one in fields(cls)})


def _changed(data: Mapping[str, Any]) -> ChangedQuery:
    lists = {side: tuple(Neighbour(**one) for one in data[side]) for side in ("old", "new")}
    return ChangedQuery(id=data["id"], jaccard=data["jaccard"], rbo=data["rbo"], **lists)
