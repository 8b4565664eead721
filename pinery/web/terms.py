"""The terms of a query, as a URL has them: items, words and images that are added or subtracted."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from cachetools import LRUCache
from starlette.datastructures import QueryParams

from pinery.errors import BadImageError, BadQueryImageError, QueryError
from pinery.search.vectors import ById, Encoded
from pinery.search.vectors import Term as SearchTerm
from pinery.sources.ids import MAX_ID_LENGTH
from pinery.web import items
from pinery.web.pictures import Studio, thumbnail

if TYPE_CHECKING:
    from pinery.web.site import ShownCorpus

Kind = Literal["id", "text", "image"]
Sign = Literal["+", "-"]
KINDS: tuple[Kind, ...] = ("id", "text", "image")
SIGNS: tuple[tuple[Sign, str], ...] = (("+", ""), ("-", "not_"))
"""The signs, and what the names of their terms begin with in a URL."""
MOST_TERMS = 16
LONGEST = {"id": MAX_ID_LENGTH, "text": 1000, "image": 64}
"""The most characters of a term."""
KEPT_BYTES = 256 << 20
"""Bytes of query images that a server remembers; the one that was used longest ago goes."""
TOKEN_DIGITS = 32


class UnknownQueryImageError(QueryError):
    """The image of a query isn't kept any more."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An image that a visitor gave."""

    data: bytes
    thumb: bytes
    """The image as a small WebP."""


class QueryImages:
    """The images that visitors gave, by the hash of their content. Safe to use from several threads."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self._lock = threading.Lock()
        self._kept: LRUCache[str, Kept] = LRUCache(limit, lambda one: len(one.data) + len(one.thumb))

    def put(self, data: bytes, thumb: bytes) -> str:
        """Keep an image and return its token."""
        token = hashlib.sha256(data).hexdigest()[:TOKEN_DIGITS]
        with self._lock:
            try:
                self._kept[token] = Kept(data, thumb)
            except ValueError:  # it alone is larger than what may be kept
                raise BadQueryImageError(f"the image has {len(data):,} bytes, too many to be kept") from None
        return token

    def get(self, token: str) -> Kept:
        """Return the image with that token. Raises UnknownQueryImageError."""
        with self._lock:
            found = self._kept.get(token)
        if found is None:
            raise UnknownQueryImageError("the image of this query isn't kept any more; choose it again")
        return found


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a query."""

    sign: Sign
    kind: Kind
    value: str
    """An id, words, or the token of an image."""

    @property
    def parameter(self) -> str:
        """The name that it has in a URL."""
        return self.kind if self.sign == "+" else f"not_{self.kind}"


@dataclass(frozen=True, slots=True)
class Terms:
    """The parts of a query: those that are added come first."""

    terms: tuple[Term, ...] = ()

    @classmethod
    def of(cls, params: QueryParams) -> Terms:
        """Return the terms in the parameters of a URL. Raises QueryError where they are too many or too long."""
        found = [
            Term(sign, kind, value.strip() if kind == "text" else value)
            for sign, prefix in SIGNS
            for kind in KINDS
            for value in params.getlist(prefix + kind)
            if value.strip()
        ]
        for one in found:
            if len(one.value) > LONGEST[one.kind]:
                raise QueryError(
                    f"{one.parameter} has {len(one.value):,} characters; {LONGEST[one.kind]:,} are allowed"
                )
        if len(found) > MOST_TERMS:
            raise QueryError(f"the query has {len(found)} terms; {MOST_TERMS} are allowed")
        return cls(tuple(dict.fromkeys(found)))

    def __bool__(self) -> bool:
        return bool(self.terms)

    @property
    def only_id(self) -> str | None:
        """The id of a query that is nothing but an item."""
        return self.terms[0].value if len(self.terms) == 1 and self.terms[0].parameter == "id" else None

    @property
    def needs_model(self) -> bool:
        """True where a vector has to be made."""
        return any(one.kind != "id" for one in self.terms)

    def with_term(self, sign: Sign, kind: Kind, value: str) -> Terms:
        """Return the terms and one more, at the end of its sign's."""
        return Terms(tuple(sorted((*self.terms, Term(sign, kind, value)), key=lambda one: one.sign)))

    def without(self, term: Term) -> Terms:
        """Return the terms without one of them."""
        return Terms(tuple(one for one in self.terms if one != term))

    def to_query(self) -> str:
        """Return the terms as the query of a URL."""
        return urlencode([(one.parameter, one.value) for one in self.terms])

    def described(self, shown: ShownCorpus) -> list[dict[str, Any]]:
        """Return each term with its `sign`, `kind`, `value`, `thumb`, and `without`: the query of the others.

        `thumb` is the address of a small picture, None for words. An image that isn't kept any more has one that is
        a 404.
        """
        listed = items.of(shown, [one.value for one in self.terms if one.kind == "id"])
        return [
            {
                "sign": one.sign,
                "kind": one.kind,
                "value": one.value,
                "thumb": self._thumb(shown, one, listed),
                "without": self.without(one).to_query(),
            }
            for one in self.terms
        ]

    @staticmethod
    def _thumb(shown: ShownCorpus, term: Term, listed: dict[str, Any]) -> str | None:
        if term.kind == "text":
            return None
        if term.kind == "image":
            return f"/query-image?{urlencode({'token': term.value})}"
        return items.pictures_of(shown, term.value, listed.get(term.value))["thumb"]

    def sides(self, shown: ShownCorpus) -> tuple[list[SearchTerm], list[SearchTerm]]:
        """Return what a searcher takes: the terms to add and those to subtract. Raises UnknownQueryImageError."""
        plus, minus = ([_searched(shown, one) for one in self.terms if one.sign == sign] for sign in ("+", "-"))
        return plus, minus


def keep(shown: ShownCorpus, data: bytes) -> str:
    """Keep an image that a visitor gave, as long as there is room, and return its token.

    Raises BadQueryImageError with the reason where it can't be searched by, TransientError.
    """
    limits = shown.config.run
    if len(data) > limits.max_bytes:
        raise BadQueryImageError(f"the image has {len(data):,} bytes; {limits.max_bytes:,} are allowed (run.max_bytes)")
    studio: Studio = shown.pictures.studio
    key = hashlib.sha256(data).hexdigest()
    try:
        thumb = studio.make(f"query {key}", lambda: thumbnail(data, studio, limits.max_pixels)).result()
    except BadImageError as error:
        raise BadQueryImageError(f"can't search by the image: {error}") from None
    return shown.query_images.put(data, thumb)


def _searched(shown: ShownCorpus, term: Term) -> SearchTerm:
    if term.kind == "id":
        return ById(term.value)
    if term.kind == "text":
        return term.value
    return Encoded(shown.query_images.get(term.value).data, "the image")
