"""The automations act for real: a Prefect server, one that takes the webhook, and flow runs that end badly."""

import http.server
import json
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.events.actions import DoNothing
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.automations import CANCELLING, FAILED, NAMES, NO_HEARTBEAT, OVERDUE, register_automations
from tests.corpora import config
from tests.prefect_server import MAKE_DEPLOY, PrefectServer
from tests.processes import wait_until, write_config

TOKEN = "T0KEN-OF-THE-HOOK"
Hook = tuple[str, list[dict[str, Any]]]


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A server that takes webhooks: its address, which is a secret, and what it was sent."""
    taken: list[dict[str, Any]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            taken.append(json.loads(body) | {"path": self.path, "type": self.headers["Content-Type"]})
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep the test output quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/services/{TOKEN}?key={TOKEN}", taken
        server.shutdown()


@pytest.fixture
def path(images: Path, tmp_path: Path) -> Path:
    """A config of twelve images."""
    return write_config(tmp_path / "config.yaml", config(images, tmp_path / "state") | {"corpus": "watched"})


@pytest.fixture
def deployed(prefect: PrefectServer, path: Path, hook: Hook) -> Iterator[dict[str, Any]]:
    """What `pinery deploy` printed with the webhook's address in the environment, on a server that knew nothing."""
    yield dict(json.loads(prefect.pinery("deploy", str(path), "--json", PINERY_WEBHOOK_URL=hook[0])))
    for kind in ("automations", "deployments"):
        for one in prefect.found(kind):
            prefect.asked("DELETE", f"{kind}/{one['id']}")


def fail(prefect: PrefectServer, deployment: str, state: str, name: str) -> dict[str, Any]:
    """A run of a deployment that ends in a state of this type and name."""
    identity = prefect.deployment(deployment)["id"]
    run = prefect.asked("POST", f"deployments/{identity}/create_flow_run", state={"type": "SCHEDULED"})
    ended = {"type": state, "name": name, "message": f'it was "{name}"'}
    prefect.asked("POST", f"flow_runs/{run['id']}/set_state", state=ended, force=True)
    return dict(run)


@pytest.mark.slow
def test_the_webhook_is_called_when_a_flow_run_fails_and_its_address_is_shown_nowhere(
    prefect: PrefectServer, deployed: dict[str, Any], hook: Hook, path: Path
) -> None:
    url, taken = hook
    assert deployed["automations"] == dict.fromkeys(NAMES, "registered")
    run, printed = prefect.worked(deployed["deployment"], f"config={path}.missing")
    wait_until(lambda: bool(taken))
    [told] = taken
    assert (told["event"], told["state"], told["deployment"]) == ("failed", "ConfigError", "reindex/corpus-watched")
    assert told["text"].startswith(
        f"Pinery: reindex/corpus-watched, run {run['name']}: ConfigError: there is no config"
    )
    assert (told["flow_run"], told["message"]) == (run["name"], run["state"]["message"])
    assert told["path"] == "/services/" + url.split("/services/")[1]
    assert told["type"] == "application/json"

    texts = [json.dumps(deployed), printed, prefect.log.read_text(), json.dumps(prefect.found("automations"))]
    texts += [json.dumps(prefect.found(kind)) for kind in ("logs", "flow_runs", "artifacts", "block_documents")]
    texts.append(json.dumps(prefect.asked("POST", "events/filter", limit=50)))
    assert [text[:80] for text in texts if TOKEN in text] == []


@pytest.mark.slow
@pytest.mark.parametrize(("state", "name"), [("FAILED", "Refused"), ("CRASHED", "Crashed"), ("CANCELLED", "Cancelled")])
def test_the_webhook_is_called_for_each_bad_end_of_pinerys_runs_alone(
    prefect: PrefectServer, deployed: dict[str, Any], hook: Hook, state: str, name: str
) -> None:
    flow = prefect.asked("POST", "flows/", name="verify")["id"]
    prefect.asked("POST", "deployments/", name="theirs", flow_id=flow, tags=["elsewhere"])
    fail(prefect, "verify/theirs", state, name)
    fail(prefect, deployed["deployment"], "COMPLETED", "Completed")
    run = fail(prefect, deployed["deployment"], state, name)
    wait_until(lambda: bool(hook[1]))
    [told] = hook[1]
    assert (told["flow_run"], told["state"], told["message"]) == (run["name"], name, f'it was "{name}"')


@pytest.mark.slow
def test_a_deployment_that_completes_nothing_is_told_of(
    prefect: PrefectServer, deployed: dict[str, Any], hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINERY_WEBHOOK_URL", hook[0])
    with temporary_settings({PREFECT_API_URL: prefect.url}):
        assert register_automations(overdue_after=timedelta(seconds=10))[OVERDUE] == "updated"
    fail(prefect, deployed["deployment"], "COMPLETED", "Completed")
    wait_until(lambda: bool(hook[1]))
    [told] = hook[1]
    assert (told["event"], told["deployment"]) == ("overdue", "reindex/corpus-watched")
    assert "has completed no run for too long" in told["text"]


def alive(prefect: PrefectServer, deployment: str) -> str:
    """A run of a deployment that has sent one heartbeat: its id."""
    identity = prefect.deployment(deployment)["id"]
    run = prefect.asked("POST", f"deployments/{identity}/create_flow_run", state={"type": "RUNNING"})
    told = {
        "id": str(uuid.uuid4()),
        "event": "prefect.flow-run.heartbeat",
        "occurred": datetime.now(UTC).isoformat(),
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run['id']}"},
        "related": [{"prefect.resource.id": f"prefect.deployment.{identity}", "prefect.resource.role": "deployment"}],
    }
    httpx.post(f"{prefect.url}/events", json=[told], trust_env=False).raise_for_status()
    return str(run["id"])


@pytest.mark.slow
def test_a_silent_run_is_marked_crashed_and_none_that_ended_under_a_name_of_ours(
    prefect: PrefectServer, deployed: dict[str, Any]
) -> None:
    with temporary_settings({PREFECT_API_URL: prefect.url}):
        assert register_automations(heartbeat_lost=timedelta(seconds=10))[NO_HEARTBEAT] == "updated"
    ended = {name: alive(prefect, deployed["deployment"]) for name in ("Refused", "ConfigError", "Different")}
    for name, identity in ended.items():
        prefect.asked("POST", f"flow_runs/{identity}/set_state", state={"type": "FAILED", "name": name}, force=True)
    cancelling, silent = (alive(prefect, deployed["deployment"]) for _ in range(2))
    prefect.asked("POST", f"flow_runs/{cancelling}/set_state", state={"type": "CANCELLING"}, force=True)
    wait_until(lambda: (prefect.state(silent), prefect.state(cancelling)) == ("CRASHED", "CANCELLED"))
    for name, identity in ended.items():
        assert prefect.flow_run(identity)["state"]["name"] == name


@pytest.mark.slow
def test_deployed_again_nothing_is_doubled_and_nobody_elses_is_touched(
    prefect: PrefectServer, deployed: dict[str, Any], hook: Hook, path: Path
) -> None:
    theirs = AutomationCore(
        name=FAILED,
        trigger=EventTrigger(expect={"theirs"}, posture=Posture.Reactive, threshold=1),
        actions=[DoNothing()],
    )
    with temporary_settings({PREFECT_API_URL: prefect.url}), get_client(sync_client=True) as client:
        their_id = client.create_automation(theirs)
        [silent] = client.read_automations_by_name(NO_HEARTBEAT)
        client.pause_automation(silent.id)
    before = {one["id"]: one for one in prefect.found("automations")}

    def again(url: str = "", *flags: str) -> dict[str, str]:
        made = json.loads(prefect.pinery("deploy", str(path), *flags, "--json", PINERY_WEBHOOK_URL=url))
        return dict(made["automations"])

    assert again(hook[0]) == dict.fromkeys(NAMES, "unchanged")
    assert {one["id"]: one for one in prefect.found("automations")} == before
    assert again(hook[0], "--name", "another") == dict.fromkeys(NAMES, "updated")
    now = {one["id"]: one for one in prefect.found("automations")}
    assert now.keys() == before.keys()
    assert now[str(their_id)] == before[str(their_id)]
    assert not now[str(silent.id)]["enabled"], "someone paused it"
    assert len(now[str(silent.id)]["trigger"]["match_related"]["prefect.resource.id"]) == 2

    said = again()
    removed = dict.fromkeys((FAILED, OVERDUE), "removed: PINERY_WEBHOOK_URL is not set")
    assert said == dict.fromkeys((NO_HEARTBEAT, CANCELLING), "unchanged") | removed
    left = {one["id"]: one["name"] for one in prefect.found("automations")}
    assert left.pop(str(their_id)) == FAILED
    assert sorted(left.values()) == sorted((NO_HEARTBEAT, CANCELLING))
    assert prefect.found("block_documents") == []
    assert "Automation 'pinery: no heartbeat': updated." in prefect.run(*MAKE_DEPLOY)
    [silent_now] = [one for one in prefect.found("automations") if one["id"] == str(silent.id)]
    watched = silent_now["trigger"]["match_related"]["prefect.resource.id"]
    assert len(watched) == len(prefect.found("deployments")), "those of prefect.yaml have the tag too"


@pytest.mark.slow
def test_what_is_no_address_is_told_without_showing_it(prefect: PrefectServer, path: Path) -> None:
    said = prefect.pinery("deploy", str(path), code=2, PINERY_WEBHOOK_URL=f"hooks.example.org/{TOKEN}")
    assert "PINERY_WEBHOOK_URL holds no http(s) address" in said
    assert TOKEN not in said
