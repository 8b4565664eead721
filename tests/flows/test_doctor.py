"""The doctor's look at Prefect: the server, a config's deployment with its schedule, and how its last run ended."""

import contextlib
import http.server
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import prefect
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed, Late, State

import flows.doctor
from flows.automations import NO_HEARTBEAT, own_automations
from flows.cli.launch import deploy, diagnose
from flows.doctor import check_prefect
from pinery.config_file import load_config
from pinery.reports import Check
from tests.corpora import config
from tests.pinecone_server.server import PineconeServer
from tests.processes import write_config

FLAGS: dict[str, Any] = {"cron": None, "timezone": "UTC", "pool": "process", "name": None}
NIGHTLY = "30 3 * * *"


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        with contextlib.suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name="process", type="process"))
        yield client


@pytest.fixture
def path(images: Path, tmp_path: Path) -> str:
    """A config of a corpus that no other test deploys."""
    corpus = {"corpus": uuid.uuid4().hex}
    return str(write_config(tmp_path / "config.yaml", config(images, tmp_path / "state") | corpus))


def found(path: str) -> dict[str, Check]:
    return {one.name: one for one in check_prefect(path, load_config(path))}


def ended(client: SyncPrefectClient, name: str, state: State[Any]) -> None:
    """A run of a deployment that ended so."""
    run = client.create_flow_run_from_deployment(client.read_deployment_by_name(name).id)
    client.set_flow_run_state(run.id, state, force=True)


def test_without_a_server_nothing_is_wrong(path: str) -> None:
    with temporary_settings({PREFECT_API_URL: None}):
        [told] = check_prefect(path, load_config(path))
    assert (told.verdict, "temporary server of its own" in told.found) == ("ok", True)


def test_a_server_that_does_not_answer_is_named_without_its_credentials(path: str) -> None:
    with temporary_settings({PREFECT_API_URL: "http://me:hidden@127.0.0.1:9/api"}):
        [told] = check_prefect(path, load_config(path))
    assert told.verdict == "wrong"
    assert "PREFECT_API_URL=http://127.0.0.1:9/api does not answer" in told.found
    assert "hidden" not in told.found


def test_a_config_that_is_not_deployed_is_a_warning(client: SyncPrefectClient, path: str) -> None:
    told = found(path)
    assert told["prefect"].verdict == "ok"
    assert f"server {prefect.__version__}, client {prefect.__version__}" in told["prefect"].found
    assert (told["schedule"].verdict, told["schedule"].found) == ("warning", "no deployment has this config")
    assert set(told) == {"prefect", "schedule"}


def test_a_schedule_is_told_by_whether_it_is_active(client: SyncPrefectClient, path: str) -> None:
    name = deploy(path, [], FLAGS)["deployment"]
    assert found(path)["schedule"].found == f"{name} has no schedule"
    deploy(path, [], FLAGS | {"cron": NIGHTLY, "timezone": "Europe/Berlin"})
    told = found(path)["schedule"]
    assert (told.verdict, told.found) == ("ok", f"{name} runs at {NIGHTLY} Europe/Berlin")
    deployment = client.read_deployment_by_name(name)
    client.update_deployment_schedule(deployment.id, deployment.schedules[0].id, active=False)
    told = found(path)["schedule"]
    assert (told.verdict, told.found) == ("warning", f"{name} has only paused schedules")
    client.pause_deployment(deployment.id)
    assert found(path)["schedule"].found == f"{name} is paused"


def test_whether_a_dead_run_is_noticed_and_a_webhook_called_is_told(
    client: SyncPrefectClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(path, [], FLAGS)
    told = found(path)["automations"]
    assert (told.verdict, told.found) == ("ok", "a run that dies is marked Crashed; no webhook is called")
    secret = "http://127.0.0.1:9/of-the-hook"
    monkeypatch.setenv("PINERY_WEBHOOK_URL", secret)
    deploy(path, [], FLAGS)
    told = found(path)["automations"]
    assert (told.verdict, "a webhook tells of failed runs" in told.found) == ("ok", True)
    assert "of-the-hook" not in json.dumps([one.found + one.advice for one in found(path).values()])
    [silent] = own_automations(client, NO_HEARTBEAT)
    client.pause_automation(silent.id)
    assert found(path)["automations"].verdict == "warning"
    client.delete_automation(silent.id)
    told = found(path)["automations"]
    assert (told.verdict, "pinery deploy" in told.advice) == ("warning", True)


def test_a_deployment_that_holds_the_settings_is_found_too(client: SyncPrefectClient, path: str) -> None:
    name = deploy(path, ["run.part_rows=7"], FLAGS | {"cron": NIGHTLY})["deployment"]
    assert found(path)["schedule"].found.startswith(f"{name} runs at")


def test_the_last_run_of_the_deployment_is_judged(
    client: SyncPrefectClient, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = deploy(path, [], FLAGS | {"cron": NIGHTLY})["deployment"]
    last = "last scheduled run"
    assert (found(path)[last].verdict, "has not run yet" in found(path)[last].found) == ("warning", True)
    ended(client, name, Failed(name="Refused", message="GET https://me:hidden@example.org failed: too many deletes"))
    told = found(path)[last]
    assert told.verdict == "wrong"
    assert f"{name} ended Refused at 20" in told.found
    assert told.found.endswith("too many deletes")
    assert "hidden" not in told.found
    ended(client, name, Completed())
    assert found(path)[last].verdict == "ok"
    monkeypatch.setattr(flows.doctor, "RECENT", timedelta(0))
    assert found(path)[last].verdict == "warning"


def test_runs_that_no_worker_takes_are_wrong(client: SyncPrefectClient, path: str) -> None:
    name = deploy(path, [], FLAGS | {"cron": NIGHTLY})["deployment"]
    assert "worker" not in found(path)
    client.create_flow_run_from_deployment(client.read_deployment_by_name(name).id, state=Late())
    told = found(path)["worker"]
    assert (told.verdict, told.found) == ("wrong", f"{name}: 1 run is late")
    assert "prefect worker start --pool process" in told.advice


@pytest.fixture
def other_server() -> Iterator[tuple[str, dict[str, tuple[int, Any]]]]:
    """A server of another kind: its URL, and its answers by path, which the test chooses."""
    answers: dict[str, tuple[int, Any]] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, body = answers.get(self.path, (404, {"detail": "no"}))
            data = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Keep the test output quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api", answers
        server.shutdown()


@pytest.mark.parametrize(
    ("version", "verdict", "words"),
    [
        ((200, prefect.__version__), "ok", "answers"),
        ((200, "3.99.0"), "ok", "server 3.99.0"),
        ((200, "3.0.1"), "warning", "server 3.0.1"),
        ((200, "2.20.1"), "wrong", "server 2.20.1"),
        ((200, "a web shop"), "wrong", "names no version of Prefect"),
        ((401, {"detail": "Unauthorized"}), "wrong", "does not answer as it should"),
        ((404, {}), "wrong", "does not answer as it should"),
    ],
    ids=str,
)
def test_a_server_of_another_kind_or_version_is_told(
    path: str,
    other_server: tuple[str, dict[str, tuple[int, Any]]],
    version: tuple[int, Any],
    verdict: str,
    words: str,
) -> None:
    url, answers = other_server
    answers |= {"/api/admin/version": version, "/api/deployments/filter": (200, [])}
    with temporary_settings({PREFECT_API_URL: url}):
        told = found(path)
    assert (told["prefect"].verdict, words in told["prefect"].found) == (verdict, True), told
    assert told["prefect"].advice or verdict == "ok"


def test_a_key_in_a_secret_block_is_enough_and_is_shown_nowhere(
    images: Path,
    tmp_path: Path,
    server: PineconeServer,
    monkeypatch: pytest.MonkeyPatch,
    save_secret: Callable[[str, str], None],
) -> None:
    server.settings.api_key = "pcsk_the-key-of-a-block"
    monkeypatch.setenv("PINECONE_API_KEY", "")
    path = write_config(tmp_path / "c.yaml", config(images, tmp_path / "state", index={"kind": "pinecone"}))
    assert {one.name for one in diagnose(str(path), []).checks if one.verdict == "wrong"} == {"index"}
    save_secret("pinecone-api-key", server.settings.api_key)
    told = diagnose(str(path), [])
    assert {one.name for one in told.checks if one.verdict == "wrong"} == set()
    assert server.settings.api_key not in json.dumps(told.to_dict())
    save_secret("pinecone-api-key", "pcsk_a-refused-key")
    monkeypatch.setenv("PINECONE_API_KEY", "")
    told = diagnose(str(path), [])
    assert {one.name for one in told.checks if one.verdict == "wrong"} == {"index"}
    assert "pcsk_" not in json.dumps(told.to_dict())
