"""The pages: what a browser gets with or without scripts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, File, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from pinery.errors import BadFilterError, PineryError, QueryError
from pinery.web import answers, compared, facets, failures, items, search_box, sidebar, status_page, terms
from pinery.web.answers import MOST_HITS
from pinery.web.links import View
from pinery.web.parameters import LAST_POSITION, Shown
from pinery.web.site import ShownCorpus, Site
from pinery.web.templating import render
from pinery.web.terms import Terms

PAGE = 60
"""Items of one page without scripts."""
FIRST_SIMILAR, FIRST_FOUND = 6, 24
"""Hits that are shown first: of a query by one item, and of others."""
STEPS = (FIRST_SIMILAR, FIRST_FOUND, 60, 120, MOST_HITS)
"""The numbers of hits that are shown, from one click on `More` to the next."""
FACETS_SECONDS = 10.0
"""The seconds for which the filter's own address waits for counts."""


class PageRoute(APIRoute):
    """A route whose errors are pages as well."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, which shows an error in the frame of the other pages."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                return await handle(request)
            except (PineryError, RequestValidationError) as error:
                return await run_in_threadpool(_told, request, error)

        return handled


router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False, route_class=PageRoute)
Path = Annotated[str, Query(max_length=20)]


@router.get("/")
def gallery(request: Request, shown: Shown, start: Annotated[int, Query(ge=0, lt=LAST_POSITION)] = 0) -> Response:
    """Show the items of a corpus."""
    view, wrong = _view(request, shown, "/")
    at = request.query_params.get("at", "")
    if at.isdecimal() and len(at) < 12:
        return RedirectResponse(view.url(start=max(0, int(at) - 1)), 303)
    if asked := sidebar.asked_by_form(request.query_params, view):
        return RedirectResponse(asked, 303)
    page: dict[str, Any] = {"items": [], "total": 0, "start": 0}
    if not wrong:
        try:
            page = items.page(shown, limit=PAGE, start=start, filter=view.filter)
            if page["total"] and not page["items"]:
                page = items.page(shown, limit=PAGE, start=max(0, page["total"] - PAGE), filter=view.filter)
        except BadFilterError as error:
            wrong = str(error)
    context = _around(request, shown, view, wrong)
    return render(request, "gallery.html", shown, view, 400 if wrong else 200, page=page, **context)


@router.get("/search")
def search(request: Request, shown: Shown) -> Response:
    """Show what is nearest to a query."""
    view, wrong = _view(request, shown, "/search")
    if asked := _asked_by_form(request, view):
        return RedirectResponse(asked, 303)
    asked_terms = Terms.of(request.query_params)
    if not asked_terms:
        return RedirectResponse(view.url("/", top_k=None, index=None), 303)
    top_k = _top_k(view, FIRST_SIMILAR if asked_terms.only_id else FIRST_FOUND)
    found: dict[str, Any] | None = None
    problem, status = "", 400 if wrong else 200
    if not wrong:
        try:
            found = answers.answer(shown, asked_terms, top_k=top_k, filter=view.filter, index=view.index or None)
        except BadFilterError as error:
            wrong, status = str(error), 400
        except PineryError as error:
            status, problem, _ = failures.told(error)
    context = {
        "heading": search_box.heading(asked_terms),
        "answer": found,
        "problem": problem,
        "weak": _weak(found),
        "more": _more(view, found, top_k),
        "said": _said(found),
        "shown_item": _item(shown, asked_terms.only_id),
        "among": answers.targets(shown),
    }
    return render(request, "search.html", shown, view, status, **context, **_around(request, shown, view, wrong))


@router.post("/search")
def search_by_upload(request: Request, shown: Shown, image: Annotated[UploadFile, File()], view: Path = "") -> Response:
    """Keep an image to search by, and lead to the page that does."""
    own, _ = _view(request, shown, "/compare" if view == "/compare" else "/search")
    data = image.file.read(shown.config.run.max_bytes + 1)
    token = terms.keep(shown, data)
    return RedirectResponse(own.url(terms=own.with_term("image", token), top_k=None), 303)


@router.get("/compare")
def compare(request: Request, shown: Shown) -> Response:
    """Show the answers of two targets to one query side by side."""
    view, wrong = _view(request, shown, "/compare")
    if asked := _asked_by_form(request, view):
        return RedirectResponse(asked, 303)
    among = answers.targets(shown)
    left, right = _sides(view, among)
    asked_terms = Terms.of(request.query_params)
    found: dict[str, Any] | None = None
    problem, status = "", 400 if wrong else 200
    if asked_terms and len(among) > 1 and not wrong:
        try:
            found = compared.compare(shown, asked_terms, left, right, top_k=_top_k(view, 10), filter=view.filter)
        except BadFilterError as error:
            wrong, status = str(error), 400
        except PineryError as error:
            status, problem, _ = failures.told(error)
    context = {
        "among": among,
        "left": left,
        "right": right,
        "found": found,
        "problem": problem,
        "heading": search_box.heading(asked_terms) if asked_terms else "",
        "changed": compared.changed(shown),
    }
    return render(request, "compare.html", shown, view, status, **context, **_around(request, shown, view, wrong))


@router.get("/status")
def status(request: Request, shown: Shown) -> Response:
    """Show what is live, what the last runs did, and what is not in the index."""
    view, _ = _view(request, shown, "/status")
    return render(request, "status.html", shown, view, **status_page.context(shown), **_box(request, shown, view))


@router.get("/filters")
async def filters(request: Request, shown: Shown, view: Path = "/") -> Response:
    """Return the filter alone, once its counts are there; scripts put it into the page."""

    def now() -> Response | None:
        own, wrong = _view(request, shown, view if view in ("/", "/search", "/compare") else "/")
        context = sidebar.sidebar(shown, own, request.query_params, wrong, wait=0)
        if not context["facets"]["ready"] and time.monotonic() < end:
            return None
        return render(request, "filters.html", shown, own, **context)

    end = time.monotonic() + FACETS_SECONDS
    while (found := await run_in_threadpool(now)) is None:
        await asyncio.sleep(facets.POLL_SECONDS)  # whoever waits holds no thread, of which there are few
    return found


def _view(request: Request, shown: ShownCorpus, path: str) -> tuple[View, str]:
    """Return the page that is asked for, and what is wrong with its filter."""
    site: Site = request.app.state.site
    filter, wrong = sidebar.filter_of(request.query_params)
    default = next(iter(site.corpora)) == shown.name
    return View.of(path, shown.name, default, request.query_params, filter), wrong


def _asked_by_form(request: Request, view: View) -> str | None:
    return search_box.asked_by_form(request.query_params, view) or sidebar.asked_by_form(request.query_params, view)


def _around(request: Request, shown: ShownCorpus, view: View, wrong: str = "") -> dict[str, Any]:
    """Return what stands around the images: the box and the filter."""
    return _box(request, shown, view) | sidebar.sidebar(shown, view, request.query_params, wrong)


def _box(request: Request, shown: ShownCorpus, view: View) -> dict[str, Any]:
    live = next((one for one in answers.targets(shown) if one["role"] == "live"), None)
    why = "" if live is None or live["text"] else live["why_no_text"]
    return search_box.box(shown, Terms.of(request.query_params), view, why)


def _top_k(view: View, default: int) -> int:
    text = view.others.get("top_k", str(default))
    if not text.isdecimal() or not 1 <= int(text[:6]) <= MOST_HITS:
        raise QueryError(f"top_k is {text[:20]}; it can be 1 to {MOST_HITS}")
    return int(text)


def _more(view: View, found: dict[str, Any] | None, top_k: int) -> str | None:
    """Return the URL of the same with more hits; None where there are no more."""
    if found is None or len(found["matches"]) < top_k:
        return None
    return next((view.url(top_k=step) for step in STEPS if step > top_k), None)


def _weak(found: dict[str, Any] | None) -> str:
    if found is None or found["strong"] is not False:
        return ""
    return (
        f"none of these is nearer to the query than {100 * found['strong_from']:.4g} % of random pairs of the corpus'"
        " images are to each other."
    )


def _said(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    number = len(found["matches"])
    return f"{number} match{'' if number == 1 else 'es'}{', none of them strong' if found['strong'] is False else ''}"


def _item(shown: ShownCorpus, id: str | None) -> dict[str, Any] | None:
    """Return the item that was searched by, if it is listed."""
    if id is None:
        return None
    item = items.of(shown, [id]).get(id)
    return {"id": id, "metadata": item.metadata, **items.pictures_of(shown, id, item)} if item else None


def _sides(view: View, among: list[dict[str, Any]]) -> tuple[str, str]:
    names = [one["index"] for one in among]
    left = view.others.get("left") or (names[0] if names else "")
    right = view.others.get("right") or next((name for name in names if name != left), left)
    return left, right


def _told(request: Request, error: PineryError | RequestValidationError) -> Response:
    status, sentence, headers = failures.told(error)
    site: Site = request.app.state.site
    shown = site.shown(request.query_params.get("corpus")) or site.shown(None)
    assert shown is not None
    view = View("", shown.name, next(iter(site.corpora)) == shown.name)
    titles = {404: "Not found", 503: "Not now"}
    answer = render(
        request, "error.html", shown, view, status, title=titles.get(status, "That can't be shown"), sentence=sentence
    )
    answer.headers.update(headers)
    return answer
