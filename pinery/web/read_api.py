"""The API's reading side: corpora and their items, searches, and the state of the server."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.datastructures import QueryParams

from pinery.web import answers, compared, facets, items, standing, terms
from pinery.web.parameters import LONGEST_NAME, CursorText, Filter, IndexName, Limit, Shown, Start, TopK
from pinery.web.shapes import (
    FAILURES,
    AnswerShape,
    ComparedShape,
    CorporaShape,
    FacetsShape,
    ImageAnswerShape,
    PageShape,
    ReadyShape,
    ValuesShape,
)
from pinery.web.site import ShownCorpus, Site
from pinery.web.terms import MOST_TERMS, Terms
from pinery.web.uploads import IMAGE_BODY, uploaded_image

router = APIRouter(responses=FAILURES)
WithSelf = Annotated[
    bool, Query(alias="self", description="Let an item that is searched by be a match of its own, as the index says.")
]


def _values(description: str) -> Any:
    return Query(description=description, max_length=MOST_TERMS)


async def read_terms(
    id: Annotated[list[str] | None, _values("Items that the matches are to be like.")] = None,
    text: Annotated[list[str] | None, _values("Words for what they show; needs a model that reads texts.")] = None,
    image: Annotated[list[str] | None, _values("Images that were given before: `query_image` of an answer.")] = None,
    not_id: Annotated[list[str] | None, _values("Items that the matches are to be unlike.")] = None,
    not_text: Annotated[list[str] | None, _values("Words for what they don't show.")] = None,
    not_image: Annotated[list[str] | None, _values("Images given before that they are to be unlike.")] = None,
) -> Terms:
    """Return the terms of a request. Raises QueryError."""
    given = {"id": id, "text": text, "image": image, "not_id": not_id, "not_text": not_text, "not_image": not_image}
    return Terms.of(QueryParams([(name, value) for name, values in given.items() for value in values or []]))


AskedTerms = Annotated[Terms, Depends(read_terms)]


@router.get("/api/corpora", tags=["items"], summary="The corpora that this server shows", response_model=CorporaShape)
def corpora(request: Request) -> JSONResponse:
    """Return the name and the number of items of each corpus, the default one first; `total` is null before a run."""
    site: Site = request.app.state.site
    return JSONResponse({"corpora": [_corpus(shown) for shown in site.corpora.values()]})


def _corpus(shown: ShownCorpus) -> dict[str, Any]:
    listed = shown.catalogue.now()
    return {
        "corpus": shown.name,
        "total": listed.rows if listed else None,
        "source": shown.config.source.kind,
        "indexes": shown.targets(),
    }


@router.get("/api/items", tags=["items"], summary="The items of a corpus, page by page", response_model=PageShape)
def page_of_items(
    shown: Shown, filter: Filter, limit: Limit = 60, cursor: CursorText = None, start: Start = None
) -> JSONResponse:
    """Return a page of items in the order of the listing, and `next`, the cursor of the page behind it."""
    return JSONResponse(items.page(shown, limit=limit, cursor=cursor, start=start, filter=filter))


@router.get(
    "/api/search",
    tags=["search"],
    summary="The images nearest to items, words or images given before",
    response_model=AnswerShape,
)
def search(
    shown: Shown,
    asked: AskedTerms,
    filter: Filter,
    top_k: TopK = 24,
    index: IndexName = None,
    with_self: WithSelf = False,
) -> JSONResponse:
    """Return the matches, best first. Several terms are added as vectors of length 1, those with `not_` subtracted."""
    found = answers.answer(shown, asked, top_k=top_k, filter=filter, index=index, with_self=with_self)
    return JSONResponse(found)


@router.post(
    "/api/search",
    tags=["search"],
    summary="The images nearest to an image",
    response_model=ImageAnswerShape,
    openapi_extra=IMAGE_BODY,
)
def search_by_image(
    shown: Shown,
    asked: AskedTerms,
    data: Annotated[bytes, Depends(uploaded_image)],
    filter: Filter,
    top_k: TopK = 24,
    index: IndexName = None,
) -> JSONResponse:
    """Return the matches of the image in the body, together with other terms in the address where there are some.

    The body is the encoded image, or a form (multipart) with the image as the file `image`. The answer's `query_image`
    is a token by which the same image can be searched by again (`GET /api/search?image=`) while the server keeps it.
    """
    token = terms.keep(shown, data)
    found = answers.answer(shown, asked.with_term("+", "image", token), top_k=top_k, filter=filter, index=index)
    return JSONResponse(found | {"query_image": token})


@router.get(
    "/api/facets",
    tags=["items"],
    summary="The values of the items' metadata, and how often each occurs",
    response_model=FacetsShape | ValuesShape,
)
async def facets_of(
    shown: Shown,
    filter: Filter,
    wait: Annotated[float, Query(description="Seconds to wait for the counts.", ge=0, le=60)] = facets.WAIT,
    key: Annotated[str | None, Query(description="Count this field alone.", max_length=LONGEST_NAME)] = None,
    starts_with: Annotated[str, Query(description="With `key`: how its values begin.", max_length=LONGEST_NAME)] = "",
) -> JSONResponse:
    """Return the facets of the items that a filter matches; `ready` is false where they are still being counted.

    With `key`, `values` has the commonest values of that field, which may have too many to be all told.
    """

    def now() -> dict[str, Any] | None:
        if key is None:
            found = facets.of(shown, filter, wait=0)
            return found if found["ready"] or time.monotonic() >= end else None
        try:
            return {"key": key, "values": facets.values(shown, key, starts_with, filter, wait=0)}
        except facets.NotCountedError:
            if time.monotonic() >= end:
                raise
            return None

    end = time.monotonic() + wait
    while (found := await run_in_threadpool(now)) is None:
        await asyncio.sleep(facets.POLL_SECONDS)  # whoever waits holds no thread, of which there are few
    return JSONResponse(found)


@router.get(
    "/api/compare", tags=["search"], summary="The answers of two indexes to one query", response_model=ComparedShape
)
def compare(
    shown: Shown, asked: AskedTerms, filter: Filter, left: IndexName = None, right: IndexName = None, top_k: TopK = 10
) -> JSONResponse:
    """Return both answers, the ids that they share, and how much they differ: the live index stands for none."""
    return JSONResponse(compared.compare(shown, asked, left, right, top_k=top_k, filter=filter))


@router.get("/api/status", tags=["server"], summary="What is live, what the last runs did, and what is not indexed")
def status(shown: Shown) -> JSONResponse:
    """Return what `pinery status --json` prints, with the most changed queries of the last gate as `changed`."""
    return JSONResponse(standing.of(shown) | {"changed": compared.changed(shown)})


@router.get("/ready", tags=["server"], summary="Whether the corpora can be searched yet", response_model=ReadyShape)
def ready(request: Request) -> JSONResponse:
    """Return the states of each corpus' `index` and `model`, which may still be loading; 503 until all are ready.

    Items can be looked at before that. A model that reads no texts is loaded when a first image is searched by.
    """
    site: Site = request.app.state.site
    found = [shown.readiness.to_dict() for shown in site.corpora.values()]
    all_ready = all(one["ready"] for one in found)
    return JSONResponse({"ready": all_ready, "corpora": found}, 200 if all_ready else 503)


@router.get("/healthz", tags=["server"], summary="Whether the server is alive")
async def healthz() -> dict[str, str]:
    """Return `ok`; it reads nothing."""
    return {"status": "ok"}
