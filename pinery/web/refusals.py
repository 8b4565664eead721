"""The answers to requests that are refused: one sentence, as JSON for programs and as a page for people."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Scope

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Pinery</title>
<link rel="stylesheet" href="/static/style.css"></head>
<body><main><h1>{title}</h1><p>{sentence}</p><p><a href="/">To the images</a></p></main></body></html>
"""
TITLES = {401: "Please log in", 403: "Not allowed", 404: "Not found", 409: "Not now", 413: "Too large", 503: "Busy"}


def refuse(scope: Scope, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that says why a request isn't done, and what to do next."""
    if wants_page(scope):
        page = PAGE.format(title=TITLES.get(status, "That did not work"), sentence=escape(sentence))
        return HTMLResponse(page, status, headers)
    return JSONResponse({"error": sentence}, status, headers)


def wants_page(scope: Scope) -> bool:
    """Return whether a request comes from somebody who reads its answer in a browser."""
    path = str(scope["path"])
    return not path.startswith("/api/") and "text/html" in Headers(scope=scope).get("accept", "")
