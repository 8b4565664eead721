"""The login of browsers, where the server has a token."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from pinery.web.access import Doorkeeper, address_of, cookie_name, own_path, too_many
from pinery.web.templating import templates

LONGEST_TOKEN, LONGEST_NEXT = 4096, 16_384
router = APIRouter(include_in_schema=False)


@router.get("/login")
def ask(request: Request, next: Annotated[str, Query(max_length=LONGEST_NEXT)] = "/") -> Response:
    """Show the form, or what was asked for to those who are in already."""
    if request.state.session or not _doorkeeper(request).closed:
        return RedirectResponse(own_path(next), 303)
    return _form(request, own_path(next))


@router.post("/login")
def log_in(
    request: Request,
    token: Annotated[str, Form(max_length=LONGEST_TOKEN)] = "",
    next: Annotated[str, Form(max_length=LONGEST_NEXT)] = "/",
) -> Response:
    """Begin a session for those who know the token; its cookie holds a random name, never the token."""
    doorkeeper, address = _doorkeeper(request), address_of(request.scope)
    if wait := doorkeeper.brake.wait(address):
        return too_many(request.scope, wait)
    if not doorkeeper.is_token(token.strip()):
        doorkeeper.brake.failed(address)
        return _form(request, own_path(next), "that is not the token of this server", 403)
    answer = RedirectResponse(own_path(next), 303)
    secure = request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")
    answer.set_cookie(
        cookie_name(request.scope), doorkeeper.begin(), httponly=True, samesite="strict", secure=secure, path="/"
    )
    return answer


@router.post("/logout")
def log_out(request: Request) -> Response:
    """End the session of a browser."""
    _doorkeeper(request).end(request.state.session)
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(cookie_name(request.scope), path="/", httponly=True, samesite="strict")
    return answer


def _form(request: Request, next: str, problem: str = "", status: int = 200) -> HTMLResponse:
    context = {"csrf": request.state.csrf, "next": next, "problem": problem}
    return templates.TemplateResponse(
        request, "login.html", context, status_code=status, headers={"cache-control": "no-store"}
    )


def _doorkeeper(request: Request) -> Doorkeeper:
    found: Doorkeeper = request.app.state.doorkeeper
    return found
