"""The status of a corpus as its page shows it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pinery.corpus.corpus import Corpus
from pinery.records import ModelCard
from pinery.web import standing
from pinery.web.site import ShownCorpus

MOST_BAD = 60
"""Quarantined and rejected items that are shown with their pictures."""


def context(shown: ShownCorpus) -> dict[str, Any]:
    """Return what the status page shows, counted some seconds ago at most; it loads no model and reaches no index."""
    found = shown.status()
    bad = [
        {"what": what, "metadata": {}, **one}
        for what, some in (("quarantined", found.quarantined), ("rejected", found.rejected))
        for one in some
    ]
    dates = {one["index"]: one for one in (*found.kept, *found.candidates)}
    return {
        "known": found,
        "bad": standing.pictured(shown, bad[:MOST_BAD]),
        "bad_count": len(bad),
        "dates": dates,
        "card": _card(shown.corpus()),
        "source": shown.config.source,
        "slowest": max((run.wall_seconds or 0 for run in found.runs), default=0),
    }


def _card(corpus: Corpus) -> dict[str, Any]:
    live = corpus.alias()[0].live
    card: ModelCard | None = live.card if live else corpus.known_card()
    shown = asdict(card) if card else {}
    return {name: value for name, value in shown.items() if value not in (None, "", {})}
