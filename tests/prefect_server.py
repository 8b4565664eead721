"""A Prefect server of the tests' own on loopback, as deployments meet it: with its services; and workers beside it."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from tenacity import Retrying, retry_if_result, stop_after_attempt, wait_fixed

from tests.migrated import migrated_once
from tests.processes import wait_until
from tests.run_pages import said

ROOT = Path(__file__).parent.parent
PREFECT = str(Path(sys.executable).with_name("prefect"))
ENVIRONMENT = Path(sys.executable).parent.parent
MAKE_DEPLOY = ("make", "--old-file", f"{ENVIRONMENT}/.ready", "deploy", f"VENV={ENVIRONMENT}")
OWN = ("PINECONE_", "PINERY_", "AWS_")
"""The beginnings of the variables that commands take from the test; all else of Prefect is the server's."""


class PrefectServer:
    """A server of the tests' own, and what it knows."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.database = folder / "prefect.db"
        self.log = folder / "server.log"
        self.worker_log = folder / "worker.log"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{self.database}",
        }

    def start(self) -> subprocess.Popen[bytes]:
        command = [PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(self.port), "--no-ui"]
        with self.log.open("w") as log:
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def healthy(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", trust_env=False).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def asked(self, method: str, path: str, **body: Any) -> Any:
        """The answer to a request, which is repeated while the server says that its database is busy.

        Prefect's own clients do the same: such a request did nothing.
        """
        busy = retry_if_result(lambda answer: answer.status_code == httpx.codes.SERVICE_UNAVAILABLE)
        again = Retrying(
            retry=busy,
            wait=wait_fixed(0.5),
            stop=stop_after_attempt(20),
            retry_error_callback=lambda one: one.outcome.result(),
        )
        url = f"{self.url}/{path}"
        answer = again(lambda: httpx.request(method, url, json=body or None, trust_env=False, timeout=30))
        return answer.raise_for_status().json() if answer.content else None

    def found(self, kind: str, **query: Any) -> list[dict[str, Any]]:
        """All objects of a kind, such as `logs`."""
        return list(self.asked("POST", f"{kind}/filter", **query or {"offset": 0}))

    def deployment(self, name: str) -> dict[str, Any]:
        return dict(self.asked("GET", f"deployments/name/{name}"))

    def scheduled(self, deployment: str) -> list[dict[str, Any]]:
        """The runs of a deployment that the server has scheduled by itself."""
        query = {"deployments": {"id": {"any_": [self.deployment(deployment)["id"]]}}}
        return [run for run in self.found("flow_runs", **query) if run["auto_scheduled"]]

    def errors(self) -> list[str]:
        return [line for line in self.log.read_text().splitlines() if re.search(r"\b(ERROR|CRITICAL)\b", line)]

    def run(self, *command: str, code: int = 0, **changes: str) -> str:
        """Return the output of a command, which must end with `code`."""
        environment = self.environment_with(**changes)
        ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=180)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def environment_with(self, **changes: str) -> dict[str, str]:
        # The local Pinecone and the cache are those of the test, the server that of the module.
        return self.environment | {n: value for n, value in os.environ.items() if n.startswith(OWN)} | changes

    def pinery(self, *arguments: str, code: int = 0, **changes: str) -> str:
        return self.run(sys.executable, "-m", "flows.cli", *arguments, code=code, **changes)

    def begin(self, deployment: str, *parameters: str) -> str:
        """Make a run of a deployment; return its id."""
        given = [part for parameter in parameters for part in ("--param", parameter)]
        [identity] = re.findall(r"UUID: ([0-9a-f-]+)", self.run(PREFECT, "deployment", "run", deployment, *given))
        return str(identity)

    def flow_run(self, identity: str) -> dict[str, Any]:
        return dict(self.asked("GET", f"flow_runs/{identity}"))

    def state(self, identity: str) -> str:
        """The type of a flow run's state."""
        return str(self.flow_run(identity)["state"]["type"])

    def worked(self, deployment: str, *parameters: str) -> tuple[dict[str, Any], str]:
        """A run of a deployment through a worker that ends afterwards, and what that worker printed."""
        identity = self.begin(deployment, *parameters)
        printed = self.run(PREFECT, "worker", "start", "--pool", "process", "--run-once")
        return self.flow_run(identity), printed

    @contextlib.contextmanager
    def worker(self, **changes: str) -> Iterator[psutil.Process]:
        """A worker of the pool, ended afterwards with all that it began."""
        command = [PREFECT, "worker", "start", "--pool", "process"]
        with self.worker_log.open("a") as log:
            process = subprocess.Popen(
                command, env=self.environment_with(**changes), cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield psutil.Process(process.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its own session: it and its flows, nothing else
            process.wait()

    def logged(self, run: dict[str, Any], level: int) -> list[str]:
        """The messages of a flow run and its tasks, from a level on."""
        query = {"flow_run_id": {"any_": [run["id"]]}, "level": {"ge_": level}}
        return [one["message"] for one in self.found("logs", logs=query)]

    def artifact(self, run: dict[str, Any]) -> dict[str, Any]:
        """Return what the page of a flow run says."""
        found = self.found("artifacts", artifacts={"flow_run_id": {"any_": [run["id"]]}})
        [page] = [one["data"] for one in found if one["key"].endswith(("-run", "-verify"))]
        return said(page)


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[PrefectServer]:
    """A running Prefect server with a work pool."""
    made = PrefectServer(tmp_path_factory.mktemp("server"))
    with contextlib.ExitStack() as at_end:
        with migrated_once(migrated, made.database):
            at_end.callback(_end, made.start())
            wait_until(made.healthy)
        made.run(PREFECT, "work-pool", "create", "process", "--type", "process")
        yield made


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
