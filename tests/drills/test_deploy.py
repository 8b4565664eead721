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
from tests.drills.checks import held
from tests.pinecone_server.server import PineconeServer
from tests.processes import wait_until, write_config

ROOT = Path(__file__).parent.parent.parent
PREFECT = str(Path(sys.executable).with_name("prefect"))


@pytest.fixture
def server(tmp_path: Path, pinecone_environment: PineconeServer) -> Iterator[dict[str, str]]:
    """A Prefect server of the test's own; yields the environment that talks to it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")} | {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{tmp_path / 'prefect.db'}",
    }
    command = [PREFECT, "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: healthy(url))
        yield environment
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def run(environment: dict[str, str], *command: str) -> str:
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=180)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def flow_run(environment: dict[str, str], deployment: str, *parameters: str) -> dict[str, Any]:
    """Run a deployment through a worker that ends afterwards, and return the flow run."""
    given = [part for parameter in parameters for part in ("--param", parameter)]
    told = run(environment, PREFECT, "deployment", "run", deployment, *given)
    [identity] = re.findall(r"UUID: ([0-9a-f-]+)", told)
    run(environment, PREFECT, "worker", "start", "--pool", "process", "--run-once")
    return dict(json.loads(run(environment, PREFECT, "flow-run", "inspect", identity, "-o", "json")))


@pytest.mark.slow
def test_from_nothing_to_a_nightly_run(server: dict[str, str], images: Path, tmp_path: Path) -> None:
    path = write_config(tmp_path / "config.yaml", config(images, tmp_path / "state", index={"kind": "pinecone"}))
    run(server, PREFECT, "work-pool", "create", "process", "--type", "process")
    environment = Path(sys.executable).parent.parent
    run(server, "make", "--old-file", f"{environment}/.ready", "deploy", f"VENV={environment}")

    deployment = httpx.get(f"{server['PREFECT_API_URL']}/deployments/name/reindex/nightly", trust_env=False).json()
    [schedule] = deployment["schedules"]
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("30 3 * * *", "UTC")
    assert schedule["active"]
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert deployment["global_concurrency_limit"]["limit"] == 1
    form = deployment["parameter_openapi_schema"]["properties"]
    assert {"config", "limit", "allow_deletes", "allow_changes", "retry_quarantined", "wait"} <= form.keys()

    ended = flow_run(server, "reindex/nightly", f"config={path}")
    assert ended["state"]["type"] == "COMPLETED", ended["state"]
    assert len(held(path)) == 12

    ended = flow_run(server, "upsert/from-checkpoint", f"config={path}", "index=filled-anew")
    assert ended["state"]["type"] == "COMPLETED", ended["state"]
    anew = config(images, tmp_path / "state", index={"kind": "pinecone", "name": "filled-anew"})
    assert len(held(write_config(tmp_path / "anew.yaml", anew))) == 12

    ended = flow_run(server, "reindex/nightly", f"config={tmp_path / 'missing.yaml'}")
    assert ended["state"]["type"] == "FAILED"
    assert "no config file" in ended["state"]["message"]

    artifacts = httpx.post(f"{server['PREFECT_API_URL']}/artifacts/filter", json={}, trust_env=False).json()
    assert "pinery-run" in {artifact["key"] for artifact in artifacts}
