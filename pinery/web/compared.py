"""One query against two indexes: what both find, how much the order differs, and which queries changed most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pinery.checkpoint.root import OF_RUN, only
from pinery.corpus.corpus import Corpus
from pinery.errors import DamagedError
from pinery.planning.gate import jaccard, rbo
from pinery.reports import Gate, RunReport
from pinery.steps.read_report import read_report
from pinery.web import items
from pinery.web.answers import answer
from pinery.web.terms import Terms

if TYPE_CHECKING:
    from pinery.web.site import ShownCorpus

READ_REPORTS = 30
"""The newest reports that are looked through for the judgement of a gate."""


def compare(
    shown: ShownCorpus,
    terms: Terms,
    left: str | None,
    right: str | None,
    *,
    top_k: int = 10,
    filter: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the answers of two indexes, by name (None is the live one), to one query; see `pinery.web.answers.answer`.

    `shared` has the ids that both found, in the order of the left one; `moves` says for each how many ranks it stands
    further up on the right. `jaccard` and `rbo` are those of `pinery.planning.gate`. Raises what `answer` raises.
    """
    sides = [answer(shown, terms, top_k=top_k, filter=filter, index=index) for index in (left, right)]
    ranks = [{one["id"]: one["rank"] for one in side["matches"]} for side in sides]
    first, second = (list(one) for one in ranks)
    shared = [id for id in first if id in ranks[1]]
    return {
        "left": sides[0],
        "right": sides[1],
        "shared": shared,
        "jaccard": jaccard(first, second),
        "rbo": rbo(first, second),
        "moves": {id: ranks[0][id] - ranks[1][id] for id in shared},
    }


def changed(shown: ShownCorpus) -> list[dict[str, Any]]:
    """Return the queries that changed most in the newest judgement of a gate, most changed first, ten at most.

    Each has its `id`, `jaccard`, `rbo`, `listed`, `thumb` and `image`, and the `run` and `index` that were judged.
    Empty where no report that is left has a judgement.
    """
    found: tuple[RunReport, Gate] | None = shown.judged()
    if found is None:
        return []
    report, gate = found
    listed = items.of(shown, [one.id for one in gate.changed])
    return [
        {
            "id": one.id,
            "jaccard": one.jaccard,
            "rbo": one.rbo,
            "listed": one.id in listed,
            "run": report.run,
            "index": report.index,
        }
        | items.pictures_of(shown, one.id, listed.get(one.id))
        for one in gate.changed
    ]


def read_judged(corpus: Corpus) -> tuple[RunReport, Gate] | None:
    """Return the newest report with the judgement of a gate, and that; None where there is none."""
    names = [name for name in only(OF_RUN, corpus.store.names(corpus.paths.runs)) if name.endswith(".json")]
    for name in sorted(names, reverse=True)[:READ_REPORTS]:
        try:
            report = read_report(corpus.store, f"{corpus.paths.runs}/{name}")
        except DamagedError:
            continue
        if report is not None and report.gate is not None:
            return report, report.gate
    return None
