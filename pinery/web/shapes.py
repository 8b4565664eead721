"""The shapes of the API's answers, which its OpenAPI page describes; tests hold the answers to them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Shape(BaseModel):
    """An object of an answer, with exactly these keys."""

    model_config = ConfigDict(extra="forbid")


class Failure(Shape):
    """The answer in the place of every other one."""

    error: str = Field(description="What happened, and what to do next.")


class Pictured(Shape):
    """Something that has pictures; their addresses are paths on this server."""

    id: str = Field(description="The item's id, as it travels in `id=`.")
    thumb: str = Field(description="The small picture, WebP, whose short side has 256 pixels.")
    image: str = Field(description="The image itself.")


class ItemShape(Pictured):
    """One item of a corpus."""

    position: int = Field(description="Its position among the items that the filter matches, from 0.")
    metadata: dict[str, Any] = Field(description="Texts, numbers, booleans and lists of texts by their names.")


class PageShape(Shape):
    """A page of items, in the order of the corpus' listing."""

    items: list[ItemShape]
    next: str | None = Field(description="The `cursor` of the page that follows; null at the end.")
    total: int = Field(description="The number of items that the filter matches.")
    start: int = Field(description="The position of the first item.")


class MatchShape(Pictured):
    """One image that a query found."""

    score: float = Field(description="In the index' metric, for example the cosine; higher is nearer.")
    rank: int = Field(description="1 for the nearest.")
    strength: float | None = Field(
        description="The share of random pairs of the corpus' images that are less near, 0 to 1; null where that is"
        " unknown, as for words, combinations and small corpora."
    )
    means: str | None = Field(description="The strength in words, such as `nearer than 99.9 % of pairs`.")
    metadata: dict[str, Any]


class AnswerShape(Shape):
    """The answer to a query."""

    matches: list[MatchShape] = Field(description="Best first.")
    index: str = Field(description="The index that was searched.")
    model: str = Field(description="The model whose vectors it holds.")
    model_key: str = Field(description="The short hash of all settings of that model.")
    generation: int = Field(description="How often another index has become live so far.")
    seconds: float
    strong: bool | None = Field(description="Whether the best match is a strong one; null where nobody knows.")
    strong_from: float | None = Field(description="The strength from which on a match is strong.")


class ImageAnswerShape(AnswerShape):
    """The answer to a query by an image that was given."""

    query_image: str = Field(description="The token by which the image can be searched by again: `image=`.")


class IndexShape(Shape):
    """One index that can be searched."""

    index: str = Field(description="Its name, as it travels in `index=`.")
    role: Literal["live", "kept", "candidate"]
    model: str
    model_key: str
    dimension: int = Field(description="The number of values of a vector.")
    until: str | None = Field(description="For a kept index, when that ends: ISO 8601 in UTC.")
    gate: str | None = Field(description="For a candidate, the verdict on it: `pass`, `fail` or `undecided`.")
    text: bool = Field(description="Whether words can be searched for.")
    why_no_text: str | None = Field(description="Why they can't.")


class CorpusShape(Shape):
    """One corpus that the server shows."""

    corpus: str = Field(description="Its name, as it travels in `corpus=`.")
    total: int | None = Field(description="The number of its items; null before the first run.")
    source: str = Field(description="The kind of its source, such as `folder`.")
    indexes: list[IndexShape] = Field(description="The live one first.")


class CorporaShape(Shape):
    """All corpora that the server shows."""

    corpora: list[CorpusShape] = Field(description="The first is the one that requests without `corpus=` mean.")


class CountShape(Shape):
    """A value, and how many items have it."""

    value: str | float | bool
    count: int


class RangeShape(Shape):
    """A range of numbers, and how many items have one in it."""

    low: float = Field(description="The least number of the range.")
    high: float = Field(description="The first number behind it.")
    count: int


class FacetShape(Shape):
    """The values of one field of the metadata."""

    key: str
    kind: Literal["values", "numbers", "lists"]
    distinct: int = Field(description="The number of different values, or of members of the lists.")
    values: list[CountShape] = Field(description="The commonest, at most 20.")
    low: float | None = Field(description="For numbers, the least.")
    high: float | None = Field(description="For numbers, the greatest.")
    bins: list[RangeShape] = Field(description="For numbers, ranges of a round width that hold them all.")


class FacetsShape(Shape):
    """The facets of the items that a filter matches."""

    ready: bool = Field(description="False while they are being counted: ask again.")
    total: int = Field(description="The number of items that are counted.")
    facets: list[FacetShape]


class ValuesShape(Shape):
    """The commonest values of one field that begin as was asked for."""

    key: str
    values: list[CountShape]


class ComparedShape(Shape):
    """The answers of two indexes to one query."""

    left: AnswerShape
    right: AnswerShape
    shared: list[str] = Field(description="The ids that both found, in the order of the left one.")
    jaccard: float = Field(description="The ids that both found by those that either found, 0 to 1.")
    rbo: float = Field(description="Rank-biased overlap with p = 0.9: 1 where the order is the same.")
    moves: dict[str, int] = Field(description="For each shared id, how many ranks it is further up on the right.")


class CorpusReadyShape(Shape):
    """The readiness of a corpus."""

    corpus: str
    ready: bool = Field(description="Whether its index answers, or there is none yet.")
    index: Literal["open", "opening", "failed", "none yet"]
    model: Literal["loaded", "loading", "failed", "not needed yet", "none yet"]
    why: str | None = Field(description="What failed.")


class ReadyShape(Shape):
    """The readiness of the server."""

    ready: bool = Field(description="Whether all corpora are.")
    corpora: list[CorpusReadyShape]


FAILURES: dict[int | str, dict[str, Any]] = {
    400: {"model": Failure, "description": "The query can't be answered as it was asked; `error` says why."},
    404: {"model": Failure, "description": "There is no such corpus, item, index or image."},
    422: {"model": Failure, "description": "A parameter is not of its type, or beyond its limits."},
    503: {"model": Failure, "description": "Too busy, or not there yet; `Retry-After` says when to ask again."},
}
"""The other answers of every route."""
