"""The answer to an error: its status and one sentence, in one place for the pages and the API."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pinery.errors import (
    AccessDeniedError,
    ConfigError,
    DamagedError,
    IndexMismatchError,
    NoLiveIndexError,
    PineryError,
    QueryError,
    RefusedError,
    TransientError,
    UnknownIndexError,
    UnknownItemError,
)
from pinery.web.parameters import UnknownCorpusError
from pinery.web.refusals import refuse
from pinery.web.terms import UnknownQueryImageError

STATUSES: tuple[tuple[type[PineryError], int], ...] = (
    (UnknownItemError, 404),
    (UnknownCorpusError, 404),
    (UnknownIndexError, 404),
    (UnknownQueryImageError, 404),
    (QueryError, 400),
    (NoLiveIndexError, 503),
    (IndexMismatchError, 503),
    (RefusedError, 409),
    (TransientError, 503),
)
"""The status of each kind of error, the first that fits; for all others see `told`."""
RETRY_AFTER = 5
log = logging.getLogger("pinery.web")


def install(app: FastAPI) -> None:
    """Have an application answer every error as `told` says."""
    for kind in (PineryError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answer)


def told(error: Exception) -> tuple[int, str, dict[str, str]]:
    """Return the status, the sentence and the headers that answer an error; nothing of what isn't for visitors."""
    if isinstance(error, RequestValidationError):
        return 422, _wrong(error), {}
    if isinstance(error, HTTPException):
        words = str(error.detail) if error.detail else HTTPStatus(error.status_code).phrase
        return error.status_code, words, dict(error.headers or {})
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
    headers = {}
    if status == 503:
        asked = error.retry_after if isinstance(error, TransientError) and error.retry_after else RETRY_AFTER
        headers["retry-after"] = str(math.ceil(asked))
    if isinstance(error, PineryError) and status != 500:
        return status, str(error), headers
    if isinstance(error, DamagedError | AccessDeniedError | ConfigError):
        return 500, "the corpus can't be read as it is; the server's log says what is wrong with it", headers
    return 500, "something went wrong in the server; its log says what", headers


def _answer(request: Request, error: Exception) -> Response:
    status, sentence, headers = told(error)
    if status == 500:
        log.error("%s %s failed: %s", request.method, request.url.path, error, exc_info=error)
    return refuse(request.scope, status, sentence, headers)


def _wrong(error: RequestValidationError) -> str:
    """Return what is wrong with the parameters of a request, without repeating what may be long."""
    told = []
    for one in error.errors()[:5]:
        place = ".".join(str(part) for part in one["loc"] if part not in ("query", "body", "path"))
        told.append(f"{place[:80] or 'the request'}: {one['msg'][:200]}")
    return "; ".join(told)
