"""The search box: the parts of a query as chips, and the forms that change it."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import QueryParams

from pinery.web.links import View
from pinery.web.site import ShownCorpus
from pinery.web.terms import Terms

SHORT = 28
"""The most characters of a chip's name."""


def box(shown: ShownCorpus, terms: Terms, view: View, why_no_text: str) -> dict[str, Any]:
    """Return what the box shows: the first words in its field, every other part of the query as a chip."""
    described = terms.described(shown)
    first = next((one for one in described if (one["sign"], one["kind"]) == ("+", "text")), None)
    chips = [_chip(view, one) for one in described if one is not first]
    return {"chips": chips, "words": first["value"] if first else "", "why_no_text": why_no_text}


def _chip(view: View, term: dict[str, Any]) -> dict[str, Any]:
    kind, value, added = term["kind"], term["value"], term["sign"] == "+"
    own, other = (kind, f"not_{kind}") if added else (f"not_{kind}", kind)
    rest = view.without_term(own, value)
    emptied = view.path == "/search" and not rest
    turned = [(other, value) if one == (own, value) else one for one in view.terms]
    return {
        "sign": "plus" if added else "minus",
        "name": "your image" if kind == "image" else shortened(value),
        "thumb": term["thumb"],
        "removed": view.url("/" if emptied else None, terms=rest, top_k=None, start=None),
        "turned": view.url(terms=turned, top_k=None),
    }


def asked_by_form(params: QueryParams, view: View) -> str | None:
    """Return the URL that the box' form asks for with `words` and `how`; None where it wasn't sent.

    The words take the place of the first ones. With `how` they are added to the query (`plus`) or subtracted (`minus`).
    """
    if "words" not in params:
        return None
    words, how, terms = params["words"].strip(), params.get("how"), list(view.terms)
    if how in ("plus", "minus"):
        terms = view.with_term("text" if how == "plus" else "not_text", words) if words else terms
    else:
        at = next((place for place, one in enumerate(terms) if one[0] == "text"), len(terms))
        terms[at : at + 1] = [("text", words)] if words else []
    path = view.path if terms or view.path != "/search" else "/"
    return view.url(path, terms=terms, top_k=None, start=None)


def heading(terms: Terms) -> str:
    """Return what a query is, in words."""
    if terms.only_id is not None:
        return f"Similar to {terms.only_id}"
    named = [(one.sign, "your image" if one.kind == "image" else _said(one.kind, one.value)) for one in terms.terms]
    if len(named) == 1 and named[0][0] == "+":
        return f"Similar to {named[0][1]}" if terms.terms[0].kind == "image" else named[0][1]
    return " ".join(f"{'−' if sign == '-' else '+'} {name}" for sign, name in named).removeprefix("+ ")


def _said(kind: str, value: str) -> str:
    return f"“{shortened(value)}”" if kind == "text" else shortened(value)


def shortened(text: str) -> str:
    """Return a name that fits a chip: the end of a long id says more than its middle."""
    return text if len(text) <= SHORT else f"{text[:10]}…{text[-(SHORT - 11) :]}"
