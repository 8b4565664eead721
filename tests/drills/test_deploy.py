"""From nothing to a nightly run, with the README's commands: a real Prefect server, a real worker, a local Pinecone."""

from __future__ import annotations

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
from tests.processes import wait_until, write_config

ROOT = Path(__file__).parent.parent.parent
PREFECT = str(Path(sys.executable).with_name("prefect"))
ENVIRONMENT = Path(sys.executable).parent.parent
MAKE_DEPLOY = ("make", "--old-file", f"{ENVIRONMENT}/.ready", "deploy", f"VENV={ENVIRONMENT}")
SCHEDULED_WITHIN = 60.0
NIGHTLY = "30 3 * * *"


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
        """What a command says that is to end with `code`."""
        environment = self.environment | changes
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
def settings(images: Path, tmp_path: Path) -> dict[str, Any]:
    """Twelve images into the local Pinecone."""
    return config(images, tmp_path / "state", index={"kind": "pinecone"})


def test_a_night_is_scheduled_for_a_users_config_and_none_for_the_placeholders(
    prefect: Prefect, settings: dict[str, Any], tmp_path: Path
) -> None:
    path = write_config(tmp_path / "config.yaml", settings | {"corpus": "nights"})
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
