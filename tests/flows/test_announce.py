"""A change of what is live is told to Prefect, for others to hear; nothing depends on that."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.variables import Variable

from flows.announce import announce, variable_name
from pinery.reports import Promotion
from tests.processes import wait_until

LIVE = {"index": "new", "namespace": "ns", "kind": "lance", "model": "clip:x", "model_key": "0123456789"}
CHANGE = Promotion("A corpus.2", "promoted", LIVE, LIVE | {"index": "old", "until": "2999"}, 3, "pass")


def heard(name: str) -> list[Any]:
    """Return the events of that name of the last minute."""
    since = datetime.now(UTC) - timedelta(minutes=1)
    wanted = EventFilter(event=EventNameFilter(name=[name]), occurred=EventOccurredFilter(since=since))
    with get_client(sync_client=True) as client:
        answer = client.request("POST", "/events/filter", json={"filter": wanted.model_dump(mode="json")})
    return list(answer.json()["events"])


def test_a_promotion_is_a_variable_and_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    announce(CHANGE)
    assert variable_name("A corpus.2") == "pinery_live_a_corpus_2"
    assert Variable.get("pinery_live_a_corpus_2") == LIVE | {"generation": 3}
    wait_until(lambda: heard("pinery.index.promoted") != [])
    [event] = heard("pinery.index.promoted")
    assert event["resource"] == {"prefect.resource.id": "pinery.corpus.A corpus.2"}
    assert event["payload"]["live"]["index"] == "new"
    assert event["payload"]["former"]["index"] == "old"
    assert capsys.readouterr().err == ""


def test_without_an_answering_server_nothing_is_told_and_nothing_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        announce(CHANGE)
    with temporary_settings({PREFECT_API_URL: None}):
        announce(CHANGE)
    assert capsys.readouterr().err == ""
