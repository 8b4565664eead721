"""What visitors are told of errors: a status and a sentence, and nothing that isn't for them."""

import logging

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from pinery.errors import (
    AccessDeniedError,
    BadFilterError,
    ConfigError,
    DamagedError,
    IndexMismatchError,
    LeaseHeldError,
    NoLiveIndexError,
    NoTextTowerError,
    PineryError,
    QueryError,
    RefusedError,
    TerminalError,
    ThrottledError,
    TransientError,
    UnknownIndexError,
    UnknownItemError,
)
from pinery.web import failures


def client(error: Exception) -> TestClient:
    """An application whose every answer fails so."""
    app = FastAPI()
    failures.install(app)

    @app.get("/api/fails")
    @app.get("/page")
    def fails() -> None:
        raise error

    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (QueryError("said"), 400),
        (BadFilterError("said"), 400),
        (NoTextTowerError("said"), 400),
        (UnknownItemError("said"), 404),
        (UnknownIndexError("said"), 404),
        (LeaseHeldError("said"), 409),
        (RefusedError("said"), 409),
        (NoLiveIndexError("said"), 503),
        (IndexMismatchError("said"), 503),
        (TransientError("said"), 503),
        (ThrottledError("said"), 503),
    ],
)
def test_an_error_that_visitors_can_do_something_about_is_told(error: PineryError, status: int) -> None:
    answer = client(error).get("/api/fails")
    assert (answer.status_code, answer.json()) == (status, {"error": "said"})
    assert answer.headers.get("retry-after") == ("5" if status == 503 else None)


def test_a_server_that_asks_for_time_gets_as_much() -> None:
    assert client(TransientError("said", retry_after=1.2)).get("/api/fails").headers["retry-after"] == "2"


@pytest.mark.parametrize(
    "error",
    [
        DamagedError("/home/me/secret.parquet is damaged"),
        AccessDeniedError("/home/me/secret can't be read"),
        ConfigError("/home/me/secret.yaml is wrong"),
        TerminalError("/home/me/secret is gone"),
        PineryError("/home/me/secret"),
        ValueError("/home/me/secret"),
        OSError(13, "denied", "/home/me/secret"),
    ],
)
def test_the_details_of_all_others_are_for_the_log_alone(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "pinery.web"):
        answer = client(error).get("/api/fails")
    assert answer.status_code == 500
    assert "log" in answer.json()["error"]
    assert "secret" not in answer.text
    assert "secret" in caplog.text


def test_a_browser_gets_a_page_and_what_is_not_there_is_told_in_the_same_form() -> None:
    asked = client(UnknownItemError("no <b>item</b>"))
    page = asked.get("/page", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "no &lt;b&gt;item&lt;/b&gt;" in page.text
    assert asked.get("/nothing").json() == {"error": "Not Found"}
    assert asked.post("/api/fails").status_code == 405
