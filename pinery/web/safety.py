"""The layers that each request passes on its way to the application, from the outside in."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pinery.web import editing, failures, login
from pinery.web.access import Access, Doorkeeper
from pinery.web.flash import Flash
from pinery.web.hosts import KnownHosts
from pinery.web.limits import Limits
from pinery.web.origins import OneOrigin
from pinery.web.refusals import refuse
from pinery.web.site import ShownCorpus, Site

CSP = (
    "default-src 'none'; img-src 'self' blob: data:; style-src 'self'; script-src 'self'; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""The headers by which each answer tells browsers what is allowed."""
PICTURES = ("/static/", "/thumb", "/image", "/query-image")
"""Paths whose answers nobody edits by."""
log = logging.getLogger("pinery.web")


def protect(app: FastAPI, site: Site) -> None:
    """Put everything that keeps a site safe in front of an application. The last one added is the first one passed."""
    app.state.doorkeeper, app.state.flash = Doorkeeper(site.settings.token), Flash()
    app.include_router(login.router)
    app.add_middleware(Told, site=site, flash=app.state.flash)
    app.add_middleware(OneOrigin)
    app.add_middleware(Access, doorkeeper=app.state.doorkeeper)
    app.add_middleware(KnownHosts, host=site.settings.host, more=site.settings.page_hosts)
    app.add_middleware(Limits, image_bytes=max(one.config.run.max_bytes for one in site.corpora.values()))
    app.add_middleware(Contained)
    app.add_middleware(SafeHeaders)


class SafeHeaders:
    """Adds the headers that browsers keep to, also to refusals and failures (ASGI)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if not scope["path"].startswith(PICTURES):
                    headers.setdefault("cache-control", "private, no-cache")
            await send(message)

        return await self._app(scope, receive, safely)


class Contained:
    """Answers what nobody expected with a sentence, and logs it (ASGI).

    FastAPI's own last handler stands before all of this, so its answers would lack the headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with the status of its error."""
        began = False

        async def noted(message: Message) -> None:
            nonlocal began
            began = began or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except ClientDisconnect:
            return
        except Exception as error:  # the last stop: no visitor sees more of it than that it happened
            log.error("%s %s failed: %s", scope.get("method"), scope.get("path"), error, exc_info=error)
            if not began and scope["type"] == "http":
                status, sentence, headers = failures.told(error)
                await refuse(scope, status, sentence, headers)(scope, receive, send)


class Told:
    """Tells the application what its pages say of editing and of the form before (ASGI).

    `request.state.editable` is whether the corpus of a request can be edited, and why not; `request.state.said` is a
    sentence that was kept for the next page.
    """

    def __init__(self, app: ASGIApp, *, site: Site, flash: Flash) -> None:
        self._app, self._site, self._flash = app, site, flash

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and not scope["path"].startswith(PICTURES):
            query, state = Request(scope).query_params, scope.setdefault("state", {})
            state["editable"] = Editable(self._site.shown(query.get("corpus")))
            state["said"] = self._flash.of(query.get("said"))
        return await self._app(scope, receive, send)


class Editable(Mapping[str, Any]):
    """Says whether a corpus can be edited: `allowed`, and `why` not.

    Its folder is looked at when somebody asks, on a thread that may wait, as for a share on the network.
    """

    def __init__(self, shown: ShownCorpus | None) -> None:
        self._shown = shown

    @cached_property
    def _told(self) -> dict[str, Any]:
        allowed, why = editing.editable(self._shown) if self._shown else (False, "")
        return {"allowed": allowed, "why": why}

    def __getitem__(self, name: str) -> Any:
        return self._told[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._told)

    def __len__(self) -> int:
        return len(self._told)
