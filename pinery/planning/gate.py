"""The statistics of the gate, and its verdict: how much the neighbours of two models differ, and whether that is worse.

All of it is deterministic: the bootstrap resamples with a fixed seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pinery.reports import ChangedQuery, Neighbour, Precision, Verdict

NEIGHBOURS, LABELLED_NEIGHBOURS = 10, 5
"""The neighbours of a query that are compared, and those whose labels are."""
PERSISTENCE = 0.9
"""The p of rank-biased overlap: the first ten ranks have 86 % of its weight."""
RESAMPLES = 2000
SEED = 20
ROUNDS = 3
"""The queries are doubled until they decide, which makes four times as many in the third round."""


MOST_CHANGED = 10
LEAST_LABELLED = 10
"""With fewer labelled queries a bootstrap's interval is too narrow to be believed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that a candidate must keep to, and the confidence of the interval; see the settings `gate`."""

    recall: float
    precision_drop: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Pair:
    """The neighbours of one query by the old and by the new model, best first and without the query."""

    id: str
    old: Sequence[Neighbour]
    new: Sequence[Neighbour]


@dataclass(frozen=True, slots=True)
class Findings:
    """The faults of a candidate's rows, the recall of its index, and how it compares by labels."""

    faults: Sequence[str]
    """Sentences about rows that are not what they should be, without their full stops."""
    notes: Sequence[str]
    """Sentences about what could not be judged, without their full stops."""
    recall: float | None
    precision: Precision | None
    labelled: int
    """The queries that `precision` rests on."""


def jaccard(left: Sequence[str], right: Sequence[str]) -> float:
    """Return how many ids two lists share, by how many they have together; 1 where both are empty."""
    together = len(set(left) | set(right))
    return len(set(left) & set(right)) / together if together else 1.0


def rbo(left: Sequence[str], right: Sequence[str], p: float = PERSISTENCE) -> float:
    """Return the rank-biased overlap of two lists of distinct ids, best first: 0 if disjoint, 1 if the same.

    It is RBO_EXT of Webber, Moffat and Zobel (2010), equation 32: the agreement that is seen at the end of the lists
    is taken to go on behind it, and the lists may differ in length. Two empty lists are the same.
    """
    shorter, longer = sorted((left, right), key=len)
    if not shorter:
        return 0.0 if longer else 1.0
    overlap, seen_once = np.zeros(len(longer) + 1), set[str]()
    for depth in range(1, len(longer) + 1):
        at_depth = [one[depth - 1] for one in (shorter, longer) if depth <= len(one)]
        if len(at_depth) == 2 and at_depth[0] == at_depth[1]:
            shared = 1
        else:
            shared = sum(id in seen_once for id in at_depth)
            seen_once.update(at_depth)
        overlap[depth] = overlap[depth - 1] + shared
    depths, short, long = np.arange(1, len(longer) + 1), len(shorter), len(longer)
    agreement = overlap[1:] / depths
    beyond = depths[short:]
    agreement[short:] += overlap[short] * (beyond - short) / (short * beyond)
    last = (overlap[long] - overlap[short]) / long + overlap[short] / short
    return float((1 - p) / p * (agreement * p**depths).sum() + last * p**long)


def compared(pair: Pair) -> ChangedQuery:
    """Return both lists of a query, and how much they have in common."""
    old, new = [one.id for one in pair.old], [one.id for one in pair.new]
    return ChangedQuery(pair.id, jaccard(old, new), rbo(old, new), tuple(pair.old), tuple(pair.new))


def most_changed(queries: Sequence[ChangedQuery]) -> tuple[ChangedQuery, ...]:
    """Return the ten queries whose neighbours changed most, of those that did, by both measures and then by id."""
    changed = [one for one in queries if [at.id for at in one.old] != [at.id for at in one.new]]
    return tuple(sorted(changed, key=lambda one: (one.jaccard, one.rbo, one.id))[:MOST_CHANGED])


def compare_labels(pairs: Sequence[Pair], labels: Mapping[str, str], confidence: float) -> tuple[Precision | None, int]:
    """Compare same-label precision@5 over the queries that have a label; return it, and how many these are.

    `labels` has those of queries and neighbours, by id. The first is None where no query has one.
    """
    labelled = [one for one in pairs if one.id in labels]
    if not labelled:
        return None, 0

    def shares(side: Callable[[Pair], Sequence[Neighbour]]) -> NDArray[np.float64]:
        return np.array([same_label(labels[one.id], [labels.get(at.id) for at in side(one)]) for one in labelled])

    old, new = shares(lambda pair: pair.old), shares(lambda pair: pair.new)
    return compare_precision(old, new, confidence), len(labelled)


def same_label(label: str, neighbours: Sequence[str | None]) -> float:
    """Return the share of the first five neighbours, given by their labels, that have this label; 0 without any."""
    first = neighbours[:LABELLED_NEIGHBOURS]
    return sum(one == label for one in first) / len(first) if first else 0.0


def compare_precision(old: NDArray[np.float64], new: NDArray[np.float64], confidence: float) -> Precision:
    """Return the means over the same queries, both of shape (queries,), and the interval of their difference.

    The interval is that of the paired bootstrap: queries are drawn with replacement, each with both of its values, and
    the ends are quantiles of the mean differences.
    """
    differences, chooser = new - old, np.random.default_rng(SEED)
    count = len(differences)
    means = np.array([differences[chooser.integers(0, count, count)].mean() for _ in range(RESAMPLES)])
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    before, after = float(old.mean()), float(new.mean())
    return Precision(before, after, float(differences.mean()), float(low), float(high))


def judge_precision(found: Precision, drop: float) -> Verdict:
    """Return whether precision certainly falls by more than `drop`, certainly doesn't, or neither is certain."""
    if found.high < -drop:
        return "fail"
    return "pass" if found.low >= -drop else "undecided"


def judge(findings: Findings, limits: Limits) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict, and what decided it as sentences that end with a full stop; notes follow."""
    said: dict[Verdict, list[str]] = {"fail": list(findings.faults), "undecided": [], "pass": []}
    notes = list(findings.notes)
    if not findings.faults:
        said["pass"].append("the index holds the live rows that it didn't reject, and a sample has their vectors")
    if findings.recall is not None:
        enough = findings.recall >= limits.recall
        against = f"{'at least' if enough else 'below'} gate.recall {limits.recall:g}"
        # Rounded down, so that it never reads as if it were the limit.
        shown = _figure(math.floor(findings.recall * 1e4 + 1e-6) / 1e4)
        said["pass" if enough else "fail"].append(f"recall@10 is {shown}, {against}")
    if findings.precision is not None and findings.labelled < LEAST_LABELLED:
        notes.append(f"only {findings.labelled} queries have a label, too few to judge same-label precision")
    elif findings.precision is not None:
        verdict = judge_precision(findings.precision, limits.precision_drop)
        said[verdict].append(_sentence(findings.precision, verdict, findings.labelled, limits))
    verdict = "fail" if said["fail"] else "undecided" if said["undecided"] else "pass"
    return verdict, tuple(f"{one}." for one in (*said[verdict], *notes))


def _sentence(found: Precision, verdict: Verdict, labelled: int, limits: Limits) -> str:
    old, new = _figure(found.old), _figure(found.new)
    moved = f"{'falls' if found.difference < 0 else 'rises'} from {old} to {new}" if old != new else f"stays at {old}"
    interval = f"{100 * limits.confidence:g} % interval {_figure(found.low)} to {_figure(found.high)}"
    drop = f"gate.precision_drop {limits.precision_drop:g}"
    meaning = {
        "fail": f"more than {drop}",
        "pass": f"so it doesn't fall by more than {drop}",
        "undecided": f"which doesn't say whether it falls by more than {drop}; a larger gate.queries may",
    }
    return f"same-label precision@5 {moved} ({interval}, {labelled:,} queries), {meaning[verdict]}"


def _figure(value: float) -> str:
    """Return a number with at most four digits behind the point."""
    return f"{round(value, 4) + 0.0:.4f}".rstrip("0").rstrip(".")
