"""The state of a page as its URL has it, and the URLs of the pages that are one click away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from pinery.web.terms import KINDS, MOST_TERMS, SIGNS, Term, Terms

Pairs = Sequence[tuple[str, str]]
CARRIED = ("index", "top_k", "left", "right", "start")
"""The parameters that a page keeps as they are, beside its corpus, terms and filter."""
TERMS = tuple(prefix + kind for _, prefix in SIGNS for kind in KINDS)
"""The names of terms."""


@dataclass(frozen=True, slots=True)
class View:
    """One page: where it is, of which corpus, and what it was asked."""

    path: str
    name: str
    """The name of the corpus."""
    default: bool
    """True where a URL need not name the corpus, because the server shows it first."""
    terms: Pairs = ()
    filter: Mapping[str, Any] | None = None
    others: Mapping[str, str] = field(default_factory=dict)
    """Those of CARRIED that were given."""

    @classmethod
    def of(cls, path: str, name: str, default: bool, params: QueryParams, filter: Mapping[str, Any] | None) -> View:
        """Return the page at a path with the parameters of a request; `filter` is theirs, already read."""
        terms = pairs_of(Terms.of(params))
        return cls(path, name, default, terms, filter, {one: params[one] for one in CARRIED if params.get(one)})

    @property
    def index(self) -> str:
        """The index that was asked for, or nothing."""
        return self.others.get("index", "")

    def pairs(self, **changes: Any) -> list[tuple[str, str]]:
        """Return the parameters of this page with changes: `terms`, `filter` and those of CARRIED; None drops one."""
        terms = changes.pop("terms", self.terms)
        filter = changes.pop("filter", self.filter)
        found = [] if self.default else [("corpus", self.name)]
        found += terms
        if filter:
            found.append(("filter", json.dumps(filter, ensure_ascii=False)))
        others = {**self.others, **changes}
        return found + [(name, str(others[name])) for name in CARRIED if others.get(name) not in (None, "", 0)]

    def url(self, path: str | None = None, **changes: Any) -> str:
        """Return the URL of this page, or of another path with the same state, with changes as for `pairs`."""
        return address(self.path if path is None else path, self.pairs(**changes))

    def home(self, path: str = "/") -> str:
        """Return the URL of a page of this corpus without terms and filter."""
        return self.url(path, terms=(), filter=None, **dict.fromkeys(CARRIED))

    def fragment(self) -> str:
        """Return the URL of this page's filter alone."""
        return address("/filters", [*self.pairs(start=None), ("view", self.path)])

    def with_term(self, name: str, value: str) -> list[tuple[str, str]]:
        """Return the terms and one more, in the place of the same with the other sign."""
        other = name.removeprefix("not_") if name.startswith("not_") else f"not_{name}"
        kept = [one for one in self.terms if one not in ((name, value), (other, value))]
        return [*kept[: MOST_TERMS - 1], (name, value)]

    def without_term(self, name: str, value: str) -> list[tuple[str, str]]:
        """Return the terms without one."""
        return [one for one in self.terms if one != (name, value)]


def pairs_of(terms: Terms | Iterable[Term]) -> list[tuple[str, str]]:
    """Return terms as parameters."""
    return [(one.parameter, one.value) for one in (terms.terms if isinstance(terms, Terms) else terms)]


def address(path: str, pairs: Pairs) -> str:
    """Return a path with parameters."""
    return f"{path}?{urlencode(pairs)}" if pairs else path
