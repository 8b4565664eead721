"""The README's commands lead to a nightly run: a real Prefect server, a real worker, a local Pinecone."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.corpora import config
from tests.drills.checks import held
from tests.pinecone_server.server import PineconeServer
from tests.processes import wait_until, write_config

ROOT = Path(__file__).parent.parent.parent
PREFECT = str(Path(sys.executable).with_name("prefect"))
ENVIRONMENT = Path(sys.executable).parent.parent
MAKE_DEPLOY = ("make", "--old-file", f"{ENVIRONMENT}/.ready", "deploy", f"VENV={ENVIRONMENT}")
SCHEDULED_WITHIN = 60.0
NIGHTLY = "30 3 * * *"
WARNING = 30


class Prefect:
    """A server of the tests' own, and what it knows."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/api"
        self.log = folder / "server.log"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder / 'prefect.db'}",
        }

    def start(self) -> subprocess.Popen[bytes]:
        command = [PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(self._port), "--no-ui"]
        with self.log.open("w") as log:
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", trust_env=False).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def found(self, kind: str, **query: Any) -> list[dict[str, Any]]:
        """All objects of a kind, such as `logs`."""
        answer = httpx.post(f"{self.url}/{kind}/filter", json=query, trust_env=False, timeout=30)
        return list(answer.raise_for_status().json())

    def deployment(self, name: str) -> dict[str, Any]:
        return dict(httpx.get(f"{self.url}/deployments/name/{name}", trust_env=False).raise_for_status().json())

    def scheduled(self, deployment: str) -> list[dict[str, Any]]:
        """The runs of a deployment that the server has scheduled by itself."""
        query = {"deployments": {"id": {"any_": [self.deployment(deployment)["id"]]}}}
        return [run for run in self.found("flow_runs", **query) if run["auto_scheduled"]]

    def errors(self) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if re.search(r"\b(ERROR|CRITICAL)\b", line)]

    def run(self, *command: str, code: int = 0, **changes: str) -> str:
        """Return the output of a command, which must end with `code`."""
        # The local Pinecone and the cache are those of the test, the server that of the module.
        own = {name: value for name, value in os.environ.items() if name.startswith(("PINECONE_", "PINERY_"))}
        environment = self.environment | own | changes
        ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=180)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def pinery(self, *arguments: str, code: int = 0, **changes: str) -> str:
        return self.run(sys.executable, "-m", "flows.cli", *arguments, code=code, **changes)


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    """A running Prefect server with a work pool."""
    made = Prefect(tmp_path_factory.mktemp("server"))
    process = made.start()
    try:
        wait_until(made.healthy)
        made.run(PREFECT, "work-pool", "create", "process", "--type", "process")
        yield made
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def settings(images: Path, tmp_path: Path, pinecone_environment: PineconeServer) -> dict[str, Any]:
    """Twelve images into the local Pinecone."""
    return config(images, tmp_path / "state", index={"kind": "pinecone"})


@pytest.mark.slow
def test_a_night_is_scheduled_for_a_users_config_and_none_for_the_placeholders(
    prefect: Prefect, settings: dict[str, Any], tmp_path: Path
) -> None:
    path = write_config(tmp_path / "config.yaml", settings | {"corpus": "nights"})
    assert "PREFECT_API_URL is not set" in prefect.run(*MAKE_DEPLOY, code=2, PREFECT_API_URL="")
    prefect.run(*MAKE_DEPLOY)
    made = json.loads(prefect.pinery("deploy", str(path), "--cron", NIGHTLY, "--json"))
    assert made["deployment"] == "reindex/corpus-nights"
    assert made["schedules"] == [{"cron": NIGHTLY, "timezone": "UTC", "active": True}]
    wait_until(lambda: bool(prefect.scheduled("reindex/corpus-nights")), seconds=SCHEDULED_WITHIN)
    [first, *_] = sorted(run["expected_start_time"] for run in prefect.scheduled("reindex/corpus-nights"))
    assert "T03:30:00" in first
    assert prefect.errors() == []
    for name, cron in (("reindex/nightly", NIGHTLY), ("verify/weekly", "0 12 * * 0")):
        [schedule] = prefect.deployment(name)["schedules"]
        assert (schedule["schedule"]["cron"], schedule["active"]) == (cron, False)
        assert prefect.scheduled(name) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_from_nothing_to_a_nightly_run(
    prefect: Prefect, settings: dict[str, Any], images: Path, tmp_path: Path
) -> None:
    path = write_config(tmp_path / "config.yaml", settings | {"corpus": "worked"})
    prefect.run(*MAKE_DEPLOY)
    deployment = prefect.deployment("reindex/nightly")
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert deployment["global_concurrency_limit"]["limit"] == 1
    form = deployment["parameter_openapi_schema"]["properties"]
    assert {"config", "limit", "allow_deletes", "allow_changes", "retry_quarantined", "wait"} <= form.keys()

    (images / "red-3.jpg").write_bytes(b"no image")
    run, _ = flow_run(prefect, "reindex/nightly", f"config={path}")
    assert run["state"]["type"] == "COMPLETED", run["state"]
    assert len(held(path)) == 11
    [warning] = logged(prefect, run, WARNING)
    assert "1 quarantined" in warning
    assert "not an image" in warning
    told = artifact(prefect, run)
    assert (told["state"], told["embedded"], told["quarantined"], told["rejected"]) == ("done", 11, 1, 0)
    assert told["next"].startswith(f"`pinery status {path}`")

    run, _ = flow_run(prefect, "upsert/from-checkpoint", f"config={path}", 'index="2024"')
    assert run["state"]["type"] == "COMPLETED", run["state"]
    anew = settings | {"corpus": "worked", "index": {"kind": "pinecone", "name": "2024"}}
    assert len(held(write_config(tmp_path / "anew.yaml", anew))) == 11

    made = json.loads(prefect.pinery("deploy", str(path), "--json"))
    for number in range(3):
        (images / f"red-{number}.jpg").unlink()
    refused(prefect, made["deployment"], "Refused", "delete_guard", "--allow-deletes` (as a flow's parameter, allow_d")
    nowhere = f"config={tmp_path / 'missing.yaml'}"
    refused(prefect, "reindex/nightly", "ConfigError", "no config file", "correct the config", nowhere)


def refused(prefect: Prefect, deployment: str, state: str, words: str, next: str, *parameters: str) -> None:
    """A run that is refused ends in one line of log, with a state that says so, an artifact, and a quiet worker."""
    run, printed = flow_run(prefect, deployment, *parameters)
    assert (run["state"]["type"], run["state"]["name"]) == ("FAILED", state)
    assert words in run["state"]["message"]
    [line] = logged(prefect, run, WARNING)
    assert line == f"{state}: {run['state']['message']}"
    told = artifact(prefect, run)
    assert (told["state"], told["error"]) == (state, run["state"]["message"])
    assert next in told["next"]
    assert "Traceback" not in printed
    assert "nanobind" not in printed


def flow_run(prefect: Prefect, deployment: str, *parameters: str) -> tuple[dict[str, Any], str]:
    """A run of a deployment through a worker that ends afterwards, and what that worker printed."""
    given = [part for parameter in parameters for part in ("--param", parameter)]
    [identity] = re.findall(r"UUID: ([0-9a-f-]+)", prefect.run(PREFECT, "deployment", "run", deployment, *given))
    printed = prefect.run(PREFECT, "worker", "start", "--pool", "process", "--run-once")
    return dict(json.loads(prefect.run(PREFECT, "flow-run", "inspect", identity, "-o", "json"))), printed


def logged(prefect: Prefect, run: dict[str, Any], level: int) -> list[str]:
    """The messages of a flow run and its tasks, from a level on."""
    query = {"flow_run_id": {"any_": [run["id"]]}, "level": {"ge_": level}}
    return [one["message"] for one in prefect.found("logs", logs=query)]


def artifact(prefect: Prefect, run: dict[str, Any]) -> dict[str, Any]:
    """The artifact of a flow run, as what stands for what."""
    [found] = prefect.found("artifacts", artifacts={"flow_run_id": {"any_": [run["id"]]}})
    assert found["key"] == "pinery-run"
    return {row["what"]: row["value"] for row in json.loads(found["data"])}
