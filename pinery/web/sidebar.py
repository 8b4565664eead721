"""The filter beside the images: facets of a corpus as links and forms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import QueryParams

from pinery.errors import BadFilterError, QueryError, TransientError
from pinery.web import choices, facets
from pinery.web.links import View
from pinery.web.parameters import parsed_filter
from pinery.web.site import ShownCorpus
from pinery.web.templating import number

BARS_WIDE, BARS_HIGH = 200.0, 32.0
"""The size of a histogram in its own units."""
MOST_CHOSEN = 8
"""Fields with a choice of their own that are counted without it."""
AT_ONCE = 0.15
"""Seconds for which a page waits for counts, so that those of small corpora come with it."""


def sidebar(
    shown: ShownCorpus, view: View, params: QueryParams, error: str = "", wait: float = AT_ONCE
) -> dict[str, Any]:
    """Return what the filter shows; where facets are not counted within `wait` seconds, that they are being counted."""
    text = params.get("filter", "") if error else json.dumps(view.filter, ensure_ascii=False) if view.filter else ""
    everything = _counted(shown, None, wait)
    known = {one["key"]: one for one in everything["facets"]}  # whose order stays, whatever is chosen
    found = dict[str, dict[str, Any]]()
    if view.filter:
        # A field is counted without its own choice, so that a second value can be chosen beside the first.
        own = [key for key in view.filter if key in known][:MOST_CHOSEN]
        found[""] = _counted(shown, view.filter, wait)
        found |= {key: _counted(shown, choices.without(view.filter, key) or None, wait) for key in own}
    ready = all(one["ready"] for one in (everything, *found.values()))
    for key in known if view.filter else ():
        counted = found.get(key, found[""])["facets"]
        known[key] = next((one for one in counted if one["key"] == key), known[key] | {"values": [], "bins": []})
    shown_facets = [_facet(shown, view, one, params) for one in known.values()] if ready else []
    return {"facets": {"ready": ready, "facets": shown_facets}, "filter_text": text, "filter_error": error}


def _counted(shown: ShownCorpus, filter: Mapping[str, Any] | None, wait: float) -> dict[str, Any]:
    try:
        return facets.of(shown, filter, wait=wait)
    except TransientError:  # others are being counted; scripts ask again
        return {"ready": False, "facets": []}


def _facet(shown: ShownCorpus, view: View, facet: Mapping[str, Any], params: QueryParams) -> dict[str, Any]:
    key = facet["key"]
    if facet["kind"] == "numbers":
        low, high = choices.bounds(view.filter, key)
        return {**facet, "from": low, "to": high, "bars": _bars(facet["bins"])}
    begins = params.get("begins", "").strip() if params.get("facet") == key else ""
    values = facet["values"]
    if begins:
        values = facets.values(shown, key, begins, choices.without(view.filter, key) or None)
    taken = choices.chosen(view.filter, key)
    missing = [{"value": one, "count": 0} for one in taken if one not in [value["value"] for value in values]]
    options = [_option(view, key, one, taken) for one in [*values, *([] if begins else missing)]]
    many = begins or facet["distinct"] > len(facet["values"])
    return {**facet, "options": options, "begins": begins, "many": many}


def _option(view: View, key: str, one: Mapping[str, Any], taken: list[Any]) -> dict[str, Any]:
    url = view.url(filter=choices.toggled(view.filter, key, one["value"]) or None, start=None, top_k=None)
    return {"value": one["value"], "count": one["count"], "chosen": one["value"] in taken, "url": url}


def _bars(bins: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    most = max((one["count"] for one in bins), default=0)
    wide = BARS_WIDE / max(1, len(bins))
    return [
        {
            "x": round(place * wide, 2),
            "y": round(BARS_HIGH * (1 - one["count"] / most), 2) if most else BARS_HIGH,
            "width": round(max(wide - 1, 0.5), 2),
            "height": round(BARS_HIGH * one["count"] / most, 2) if most else 0,
            "title": f"{number(one['low'])} to {number(one['high'])}: {one['count']:,}",
        }
        for place, one in enumerate(bins)
    ]


def asked_by_form(params: QueryParams, view: View) -> str | None:
    """Return the URL that a range's form asks for with `range`, `low` and `high`; None where it wasn't sent.

    Raises QueryError where a bound is no number.
    """
    key = params.get("range")
    if not key:
        return None
    low, high = (_bound(params.get(name, "")) for name in ("low", "high"))
    return view.url(filter=choices.ranged(view.filter, key, low, high) or None, start=None, top_k=None)


def _bound(text: str) -> float | None:
    try:
        value = float(text) if text.strip() else None
    except ValueError:
        raise QueryError(f"{text[:40]!r} is no number") from None
    if value is not None and not abs(value) < float("inf"):
        raise QueryError(f"{text[:40]!r} is no finite number")
    return int(value) if value is not None and value.is_integer() and abs(value) < 2**53 else value


def filter_of(params: QueryParams) -> tuple[dict[str, Any] | None, str]:
    """Return the filter of a request, and what is wrong with it; one that is wrong filters nothing."""
    try:
        return parsed_filter(params.get("filter")), ""
    except BadFilterError as error:
        return None, str(error)
