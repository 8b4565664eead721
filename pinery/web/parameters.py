"""The parameters that the page's and the API's routes share: their limits, and what they mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, NoReturn

from fastapi import Depends, Query, Request

from pinery.errors import BadFilterError, QueryError
from pinery.indexes.lance_filter import to_sql
from pinery.sources.ids import MAX_ID_LENGTH
from pinery.web.answers import MOST_HITS
from pinery.web.items import LARGEST_PAGE
from pinery.web.site import ShownCorpus

LONGEST_FILTER, LONGEST_LIST, MOST_CONDITIONS = 8192, 500, 200
"""Characters of a filter, values of one list in it, and objects and lists in all."""
LAST_POSITION = 2**31
LONGEST_NAME = 512


class UnknownCorpusError(QueryError):
    """The server shows no corpus of that name."""


async def shown_corpus(
    request: Request,
    corpus: Annotated[
        str | None,
        Query(description="The name of the corpus, of those in /api/corpora; the first by default.", max_length=512),
    ] = None,
) -> ShownCorpus:
    """Return the corpus that a request names. Raises UnknownCorpusError."""
    site = request.app.state.site
    found: ShownCorpus | None = site.shown(corpus)
    if found is None:
        raise UnknownCorpusError(f"no corpus {corpus!r} is shown here; there is {', '.join(site.corpora)}")
    return found


async def read_filter(
    filter: Annotated[
        str | None,
        Query(
            description='A filter on the metadata in Pinecone\'s filter language, as JSON: `{"label": "cat"}` or'
            ' `{"year": {"$gte": 1990}}`; operators are $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $and, $or.',
            max_length=LONGEST_FILTER,
        ),
    ] = None,
) -> dict[str, Any] | None:
    """Return the filter of a request; None for none. Raises BadFilterError where it isn't one that an index takes."""
    return parsed_filter(filter)


def parsed_filter(text: str | None) -> dict[str, Any] | None:
    """Return the filter in a JSON text; None where it is empty. Raises BadFilterError."""
    if not text or not text.strip():
        return None
    if len(text) > LONGEST_FILTER:
        raise BadFilterError(f"the filter has {len(text):,} characters; {LONGEST_FILTER:,} are allowed")
    try:
        found = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise BadFilterError("the filter is nested too deep") from None
    except ValueError as error:
        raise BadFilterError(f"the filter is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadFilterError('the filter is no JSON object, such as {"label": "cat"}')
    _bounded(found)
    to_sql(found)
    return found or None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _bounded(found: Mapping[str, Any]) -> None:
    waiting: list[Any] = [found]
    for number, one in enumerate(waiting, 1):  # which grows
        inner = list(one.values()) if isinstance(one, dict) else one
        if len(inner) > LONGEST_LIST or number > MOST_CONDITIONS:
            raise BadFilterError(
                f"the filter is too long: a list takes {LONGEST_LIST} values, and a filter {MOST_CONDITIONS} conditions"
            )
        waiting += [value for value in inner if isinstance(value, dict | list)]


# Dependencies are coroutines, for what they do takes less time than to hand it to a thread.
Shown = Annotated[ShownCorpus, Depends(shown_corpus)]
Filter = Annotated[dict[str, Any] | None, Depends(read_filter)]
Limit = Annotated[int, Query(description="The most items of the page.", ge=1, le=LARGEST_PAGE)]
Start = Annotated[
    int | None, Query(description="The position within the filter to start at, from 0.", ge=0, lt=LAST_POSITION)
]
CursorText = Annotated[
    str | None, Query(description="`next` of the page before: the page that follows it.", max_length=8192)
]
TopK = Annotated[int, Query(description="The most matches.", ge=1, le=MOST_HITS)]
ItemId = Annotated[str, Query(description="An item's id.", min_length=1, max_length=MAX_ID_LENGTH)]
IndexName = Annotated[
    str | None,
    Query(description="A kept index or a candidate to search in the place of the live one.", max_length=LONGEST_NAME),
]
Version = Annotated[
    str | None, Query(description="The version of the picture, as in the addresses that the API gives.", max_length=64)
]
