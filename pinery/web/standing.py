"""The status of a corpus for many visitors: counted once in some seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pinery.web import items

if TYPE_CHECKING:
    from pinery.web.site import ShownCorpus

MOST_SHOWN = 200
"""Quarantined and rejected items that are told with their pictures."""


def of(shown: ShownCorpus) -> dict[str, Any]:
    """Return what `pinery status --json` prints, counted some seconds ago at most.

    `quarantined` and `rejected` have the first MOST_SHOWN items, each with its `id`, `reason`, `thumb` and `image`;
    `quarantined_count` and `rejected_count` count all.
    """
    found = shown.status().to_dict()
    bad = {name: found[name] for name in ("quarantined", "rejected")}
    return found | {
        key: value
        for name, some in bad.items()
        for key, value in ((name, pictured(shown, some[:MOST_SHOWN])), (f"{name}_count", len(some)))
    }


def pictured(shown: ShownCorpus, bad: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return items of a status, each with its `thumb` and `image`."""
    listed = items.of(shown, [one["id"] for one in bad])
    return [dict(one) | items.pictures_of(shown, one["id"], listed.get(one["id"])) for one in bad]
