"""The templates, the words and figures in them, and what every page has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from pinery.web.links import View
from pinery.web.site import ShownCorpus, Site

templates = Jinja2Templates(directory=Path(__file__).parent / "templates")


def render(
    request: Request, template: str, shown: ShownCorpus, view: View, status: int = 200, **context: Any
) -> HTMLResponse:
    """Return a page: its template with what every page has, and with `context`."""
    site: Site = request.app.state.site
    said = request.app.state.flash.of(request.query_params.get("said"))
    every = {
        "shown": shown,
        "view": view,
        "corpora": list(site.corpora),
        "csrf": getattr(request.state, "csrf", ""),
        "editable": getattr(request.state, "editable", {"allowed": False, "why": ""}),
        "session": getattr(request.state, "session", ""),
        "said_to_user": said["text"],
        "said_bad": said["bad"],
        "config_path": shown.path,
        "run": shown.runs.current() if shown.editable else None,
        "chips": [],
        "words": "",
        "why_no_text": "",
        "facets": {"ready": True, "facets": []},
        "filter_text": "",
        "filter_error": "",
    }
    return templates.TemplateResponse(request, template, every | context, status_code=status)


def caption(item: Mapping[str, Any]) -> str:
    """Return what stands beneath a picture: the label, or the id where there is none."""
    return str((item.get("metadata") or {}).get("label") or item["id"])


def alternative(item: Mapping[str, Any]) -> str:
    """Return the words that stand for a picture: its id and its label."""
    label = (item.get("metadata") or {}).get("label")
    return f"{item['id']}, label {label}" if label else str(item["id"])


def count(number: int) -> str:
    """Return a count with its thousands apart."""
    return f"{number:,}"


def number(value: float | None) -> str:
    """Return a number as a field of a form takes it; nothing for None."""
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.6g}"


def any_value(value: Any) -> str:
    """Return a value of metadata as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return number(value) if isinstance(value, int | float) else str(value)


def moved(change: int | str) -> str:
    """Return a change of rank: up is towards the first."""
    if isinstance(change, str):
        return change
    return f"▲ {change}" if change > 0 else f"▼ {-change}" if change < 0 else "="


def is_strong(match: Mapping[str, Any], answer: Mapping[str, Any]) -> bool:
    """Return whether a hit is a strong match, as far as that is known."""
    strength, least = match.get("strength"), answer.get("strong_from")
    return strength is not None and least is not None and strength >= least


def query(pairs: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> str:
    """Return parameters as the query of a URL."""
    return urlencode(list(pairs.items()) if isinstance(pairs, Mapping) else list(pairs))


def duration(seconds: float) -> str:
    """Return a time that somebody waited."""
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def moment(text: str | None) -> str:
    """Return a time of the state (ISO 8601, UTC) as people read it, to the minute."""
    return f"{text[:10]} {text[11:16]}" if text and len(text) >= 16 else text or ""


templates.env.filters |= {
    "caption": caption,
    "alternative": alternative,
    "count": count,
    "number": number,
    "value": any_value,
    "moved": moved,
    "is_strong": is_strong,
    "query": query,
    "moment": moment,
    "duration": duration,
    "score": lambda score: f"{score:.3f}",
    "percent": lambda share, digits=0: f"{100 * share:.{digits}f} %",
}
