"""The gate: a candidate, such as a new model's fresh index, is judged against the live target before it takes over.

Both models are compared by exact search over their checkpoints, so that no index' approximation plays a part; the
candidate's index is judged by itself, by its rows and by its recall.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import duckdb

from pinery.corpus.outage import retry_through_outage, settle
from pinery.corpus.run import HeldTarget
from pinery.corpus.tables import connect
from pinery.corpus.target import Target
from pinery.duckdb_files import scan
from pinery.planning.gate import (
    LABELLED_NEIGHBOURS,
    NEIGHBOURS,
    ROUNDS,
    SEED,
    Findings,
    Limits,
    Pair,
    compare_labels,
    compared,
    judge,
    most_changed,
)
from pinery.planning.plan import count_plan, count_rows
from pinery.reports import Gate
from pinery.steps.labels import labels_of
from pinery.steps.live_vectors import LiveVectors, UnheldVectors, live_vectors
from pinery.steps.neighbours import Searched, exact_neighbours, recall_of_index
from pinery.steps.sample import differences_of_sample, draw_sample
from pinery.steps.spot_check import looked_at_again

SHOWN_DIFFERENCES = 5
UNLABELLED = "no query has a label, so same-label precision could not be judged"
EXPECTED = "items WHERE part IS NOT NULL AND NOT bad AND NOT refused"
AWAITED = "items WHERE part IS NULL AND NOT refused"
"""Rows of a plan: those that an index is to hold, and those whose listed version has no vector yet."""


def judge_candidate(live: Target | None, candidate: HeldTarget, listing: Path) -> Gate:
    """Judge the held `candidate`, whose index is filled, against the `live` target, which is only read.

    `listing` is the one that the candidate was brought to. Without a live target, the rows of the candidate and the
    recall of its index decide alone.

    Raises StoppedError or LeaseLostError between two batches of vectors, DamagedError, and TransientError where the
    index doesn't answer.
    """
    began, run = time.monotonic(), candidate.run
    with run.stage("judge rows"):
        known = _prepare(live, candidate, listing)
    settings = candidate.target.config.gate
    limits = Limits(settings.recall, settings.precision_drop, settings.confidence)
    recall, pairs, labels, done = None, list[Pair](), dict[str, str](), 0
    for number in range(ROUNDS):
        asked = known.drawn[done : settings.queries << number]
        done += len(asked)
        new, old = _search(candidate, known, asked, number)
        if number == 0:
            recall = _recall(candidate, known.new, new)
        if old is not None:
            some = [Pair(*one) for one in zip(asked, old.neighbours, new.neighbours, strict=True)]
            pairs += some
            labels |= labels_of(listing, _ids_of(some))
        precision, labelled = compare_labels(pairs, labels, settings.confidence)
        notes = [*known.notes, *([UNLABELLED] if pairs and not labelled else [])]
        verdict, reasons = judge(Findings(known.faults, notes, recall, precision, labelled), limits)
        if verdict != "undecided" or done == len(known.drawn):
            break
    queries = [compared(one) for one in pairs]
    return Gate(
        verdict=verdict,
        reasons=reasons,
        queries=done,
        recall_at_10=recall,
        jaccard_at_10=fmean(one.jaccard for one in queries) if queries else None,
        rbo=fmean(one.rbo for one in queries) if queries else None,
        precision_at_5=precision,
        changed=most_changed(queries),
        seconds=round(time.monotonic() - began, 3),
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known before the first search."""

    new: LiveVectors
    """The candidate's vectors."""
    old: UnheldVectors | None
    """Those of the live target, if there are some to compare with."""
    drawn: Sequence[str]
    """The ids of queries, in the order in which they are asked."""
    faults: Sequence[str]
    notes: Sequence[str]


def _prepare(live: Target | None, candidate: HeldTarget, listing: Path) -> _Known:
    most, scratch = candidate.target.config.gate.queries << (ROUNDS - 1), candidate.scratch
    settle(candidate)
    with candidate.planned(listing) as con:
        faults = looked_at_again(candidate, lambda: _faults(candidate, con))
        new = live_vectors(con, candidate.target.checkpoint, scratch / "gate-new.parquet")
    candidate.check()
    old = UnheldVectors(live, listing, scratch / "gate-live.parquet") if live else None
    notes = [] if old else ["nothing is live yet, so there is no other model to compare with"]
    drawn = _draw(scratch, new, old, most)
    notes += _losing(scratch, new, old) if old else []
    if old and not drawn:
        notes.append("no item has a vector of both models, so their neighbours could not be compared")
        old, drawn = None, _draw(scratch, new, None, most)
    if new.rows == 1:
        notes.append("there is only one vector, which has no neighbours")
    elif 1 < new.rows <= NEIGHBOURS:
        notes.append(f"there are only {new.rows} vectors, so that a query has {new.rows - 1} neighbours")
    return _Known(new, old, drawn, faults, notes)


def _faults(held: HeldTarget, con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return in sentences how the candidate's index differs from the live rows that it did not reject."""
    counts, expected = count_plan(con), count_rows(con, EXPECTED)
    # What the index had of an item before its listed version is awaited stays there.
    kept = count_rows(con, f"{AWAITED} AND NOT absent AND NOT doubt")
    doubtful = count_rows(con, f"{AWAITED} AND doubt")
    found = retry_through_outage(held, held.index.count)
    faults = []
    if not expected:
        faults.append(f"none of the {counts.listed:,} listed items has a vector that may be in the index")
    if not expected + kept <= found <= expected + kept + doubtful:
        faults.append(f"the index holds {found:,} rows, and {expected + kept:,} are live and not rejected")
    if counts.to_upsert or counts.to_delete:
        faults.append(f"{counts.to_upsert:,} rows are still to upsert and {counts.to_delete:,} to delete")
    different = differences_of_sample(held, draw_sample(held.target.checkpoint, con, random.Random(SEED)))
    if different:
        shown = "; ".join(different[:SHOWN_DIFFERENCES])
        faults.append(f"{len(different):,} rows of a sample differ from what was sent to the index: {shown}")
    return faults


def _draw(scratch: Path, new: LiveVectors, old: UnheldVectors | None, most: int) -> list[str]:
    """Draw at most so many ids that have a vector of each model, the same ones each time."""
    order = f"ORDER BY md5('{SEED} ' || id), id LIMIT {most}"
    if old is None:
        return [str(row[0]) for row in _select(scratch, new, new, f"SELECT id FROM candidate {order}")]
    query = f"SELECT id FROM candidate SEMI JOIN live USING (id) {order}"
    return [str(row[0]) for row in old.reading(lambda vectors: _select(scratch, new, vectors, query))]


def _losing(scratch: Path, new: LiveVectors, old: UnheldVectors) -> list[str]:
    """Return a note where items have a vector of the old model and none of the new one."""
    query = "SELECT count(*) FROM live ANTI JOIN candidate USING (id)"
    [(count,)] = old.reading(lambda vectors: _select(scratch, new, vectors, query))
    return [f"{count:,} items of the live target have no vector by the new model"] if count else []


def _select(scratch: Path, new: LiveVectors, old: LiveVectors, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query over the live rows (part, id, version) `candidate` and `live`."""
    with connect(scratch) as con:
        scan(con, new.path).create_view("candidate")
        scan(con, old.path).create_view("live")
        return con.execute(query).fetchall()


def _search(
    candidate: HeldTarget, known: _Known, asked: Sequence[str], number: int
) -> tuple[Searched, Searched | None]:
    """Find the exact neighbours of the queries `asked` by the new model, and by the old one."""
    stage = f"neighbours {number + 1}" if number else "neighbours"
    old, metric = known.old, candidate.target.config.index.metric
    total = known.new.rows + (old.reading(lambda vectors: vectors.rows) if old else 0)

    def passed(rows: int) -> None:
        candidate.check()
        candidate.run.advance(stage, rows)

    with candidate.run.stage(stage, total):
        new = exact_neighbours(known.new, asked, metric, passed)
        if old is None:
            return new, None
        return new, old.reading(lambda vectors: exact_neighbours(vectors, asked, old.metric, passed))


def _recall(candidate: HeldTarget, rows: LiveVectors, searched: Searched) -> float | None:
    def passed(queries: int) -> None:
        candidate.check()
        candidate.run.advance("recall", queries)

    with candidate.run.stage("recall", len(searched.ids)):
        return recall_of_index(candidate, rows, searched, candidate.target.config.index.metric, passed)


def _ids_of(pairs: Sequence[Pair]) -> set[str]:
    """Return the ids of queries and of their neighbours whose labels count."""
    first = slice(LABELLED_NEIGHBOURS)
    return {id for one in pairs for id in (one.id, *(at.id for at in (*one.old[first], *one.new[first])))}
