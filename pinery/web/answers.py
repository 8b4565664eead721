"""The answer to a query as pages and API show it: its matches, what their scores mean, and where they come from."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pinery.errors import QueryError
from pinery.search.hits import Hit
from pinery.web import items
from pinery.web.targets import model_of
from pinery.web.terms import Terms

if TYPE_CHECKING:
    from pinery.web.site import ShownCorpus

MOST_HITS = 200


def answer(
    shown: ShownCorpus,
    terms: Terms,
    *,
    top_k: int = 24,
    filter: Mapping[str, Any] | None = None,
    index: str | None = None,
    with_self: bool = False,
) -> dict[str, Any]:
    """Return the matches of a query, best first, and where they come from.

    An item that is searched by, and nothing else, is no match of its own unless `with_self`. `means` and `strong` are
    None where nobody knows: for words, combinations, and corpora of few images. Raises what `Searcher.search` raises,
    and UnknownQueryImageError.
    """
    if not terms:
        raise QueryError("the query is empty: give `id`, `text` or an image to look for")
    if not 1 <= top_k <= MOST_HITS:
        raise QueryError(f"top_k is {top_k}; it can be 1 to {MOST_HITS}")
    began = time.perf_counter()
    plus, minus = terms.sides(shown)
    if not plus:
        raise QueryError("the query only has terms to subtract; give one to look for as well")
    without = terms.only_id is not None and not with_self
    asked: dict[str, Any] = {"top_k": top_k + without, "filter": filter, "index": _searched(shown, index)}
    hits = shown.searcher.search(plus[0], plus=plus[1:], minus=minus, **asked)
    shown.readiness.answered(hits.model_key, terms.needs_model)
    kept = [hit for hit in hits if not (without and hit.id == hits.query_id)][:top_k]
    return {
        "matches": _matches(shown, kept),
        "index": hits.index,
        "model": model_of(shown, hits.index, hits.model_key),
        "model_key": hits.model_key,
        "generation": hits.generation,
        "seconds": round(time.perf_counter() - began, 4),
        "strong": hits.strong,
        "strong_from": hits.strong_from,
    }


def targets(shown: ShownCorpus) -> list[dict[str, Any]]:
    """Return the indexes that can be searched; see `pinery.web.targets.read`."""
    return shown.targets()


def means(strength: float | None) -> str | None:
    """Return what a strength says, in words; None where nobody knows it. A share is rounded down."""
    if strength is None:
        return None
    digits = next((digits for digits, limit in enumerate((0.99, 0.999, 0.9999)) if strength < limit), 3)
    percent = min(math.floor(round(strength * 100 * 10**digits, 6)) / 10**digits, 99.999)
    return f"nearer than {percent:.{digits}f} % of pairs"


def _matches(shown: ShownCorpus, hits: list[Hit]) -> list[dict[str, Any]]:
    listed = items.of(shown, [hit.id for hit in hits])
    return [
        {
            "id": hit.id,
            "score": hit.score,
            "rank": rank,
            "strength": hit.strength,
            "means": means(hit.strength),
            "metadata": hit.metadata,
        }
        | items.pictures_of(shown, hit.id, listed.get(hit.id))
        for rank, hit in enumerate(hits, 1)
    ]


def _searched(shown: ShownCorpus, index: str | None) -> str | None:
    """Return the name to search by; the live target goes without one, since it may be known by none yet."""
    if index is None or any(one["role"] == "live" and one["index"] == index for one in shown.targets()):
        return None
    return index
