"""The README's commands lead to a nightly run: a real Prefect server, a real worker, a local Pinecone."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.corpora import config
from tests.drills.checks import held
from tests.pinecone_server.server import PineconeServer
from tests.prefect_server import ENVIRONMENT, MAKE_DEPLOY, ROOT, PrefectServer
from tests.processes import wait_until, write_config

SCHEDULED_WITHIN = 60.0
NIGHTLY = "30 3 * * *"
WARNING = 30
SAMPLE = 160
"""The images of the sample corpus."""


@pytest.fixture
def settings(images: Path, tmp_path: Path, pinecone_environment: PineconeServer) -> dict[str, Any]:
    """Twelve images into the local Pinecone."""
    return config(images, tmp_path / "state", index={"kind": "pinecone"})


@pytest.mark.slow
def test_a_night_is_scheduled_for_a_users_config_and_none_for_the_placeholders(
    prefect: PrefectServer, settings: dict[str, Any], tmp_path: Path
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
    prefect: PrefectServer, settings: dict[str, Any], images: Path, tmp_path: Path
) -> None:
    path = write_config(tmp_path / "config.yaml", settings | {"corpus": "worked"})
    prefect.run(*MAKE_DEPLOY)
    deployment = prefect.deployment("reindex/nightly")
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert deployment["global_concurrency_limit"]["limit"] == 1
    form = deployment["parameter_openapi_schema"]["properties"]
    assert {"config", "limit", "allow_deletes", "allow_changes", "retry_quarantined", "wait"} <= form.keys()

    (images / "red-3.jpg").write_bytes(b"no image")
    run, _ = prefect.worked("reindex/nightly", f"config={path}")
    assert run["state"]["type"] == "COMPLETED", run["state"]
    assert len(held(path)) == 11
    [warning] = prefect.logged(run, WARNING)
    assert "1 quarantined" in warning
    assert "not an image" in warning
    told = prefect.artifact(run)
    assert (told["state"], told["embedded"], told["quarantined"], told["rejected"]) == ("done", 11, 1, 0)
    assert told["next"].startswith(f"`pinery status {path}`")

    run, _ = prefect.worked("upsert/from-checkpoint", f"config={path}", 'index="2024"')
    assert run["state"]["type"] == "COMPLETED", run["state"]
    anew = settings | {"corpus": "worked", "index": {"kind": "pinecone", "name": "2024"}}
    assert len(held(write_config(tmp_path / "anew.yaml", anew))) == 11

    made = json.loads(prefect.pinery("deploy", str(path), "--json"))
    for number in range(3):
        (images / f"red-{number}.jpg").unlink()
    refused(prefect, made["deployment"], "Refused", "delete_guard", "--allow-deletes` (as a flow's parameter, allow_d")
    nowhere = f"config={tmp_path / 'missing.yaml'}"
    refused(prefect, "reindex/nightly", "ConfigError", "no config file", "correct the config", nowhere)


@pytest.mark.slow
def test_the_commands_of_the_readme_lead_from_nothing_to_a_nightly_run(tmp_path: Path) -> None:
    project, server = tmp_path / "project", PrefectServer(tmp_path)
    for name in ("configs", "data"):
        shutil.copytree(ROOT / name, project / name)
    for name in ("flows", "pinery", "tasks"):
        (project / name).symlink_to(ROOT / name)
    (project / ".venv").symlink_to(ENVIRONMENT)
    section = (ROOT / "README.md").read_text().split("## Every night")[1]
    script = section.split("```")[1].replace("4200", str(server.port))
    answers = f"import httpx; httpx.get('{server.url}/health', trust_env=False)"
    script = script.replace("# wait until it answers", f'\nuntil .venv/bin/python -c "{answers}" 2>&-; do :; done')
    assert "until" in script
    set_apart = {"PYTHONPATH": str(project), "PREFECT_SERVER_API_PORT": str(server.port), "PREFECT_UI_ENABLED": "0"}
    environment = server.environment | set_apart
    del environment["PREFECT_API_URL"]
    output = tmp_path / "printed"
    with output.open("w") as printed:
        command = ["bash", "-ec", script]
        shell = subprocess.Popen(
            command, cwd=project, env=environment, stdout=printed, stderr=printed, start_new_session=True
        )

    def done() -> bool:
        assert shell.poll() is None, output.read_text()
        found = server.found("flow_runs") if server.healthy() else []
        return [run["state"]["type"] for run in found if not run["auto_scheduled"]] == ["COMPLETED"]

    try:
        wait_until(done, seconds=150)
        wait_until(lambda: bool(server.scheduled("reindex/corpus-sample")), seconds=SCHEDULED_WITHIN)
    finally:
        os.killpg(shell.pid, signal.SIGKILL)  # its own session: the server and the worker, nothing else
        shell.wait()
    assert len(held(project / "configs" / "sample.yaml")) == SAMPLE


def refused(prefect: PrefectServer, deployment: str, state: str, words: str, next: str, *parameters: str) -> None:
    """A run that is refused ends in one line of log, with a state that says so, an artifact, and a quiet worker."""
    run, printed = prefect.worked(deployment, *parameters)
    assert (run["state"]["type"], run["state"]["name"]) == ("FAILED", state)
    assert words in run["state"]["message"]
    [line] = prefect.logged(run, WARNING)
    assert line == f"{state}: {run['state']['message']}"
    told = prefect.artifact(run)
    assert (told["state"], told["error"]) == (state, run["state"]["message"])
    assert next in told["next"]
    assert "Traceback" not in printed
    assert "nanobind" not in printed
