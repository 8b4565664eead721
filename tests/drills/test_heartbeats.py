"""A run from the terminal sends heartbeats to a server that outlives it, so that automations notice its death."""

from pathlib import Path
from typing import Any

import pytest

from tests.corpora import config
from tests.prefect_server import PrefectServer
from tests.processes import wait_until, write_config


def heartbeats(prefect: PrefectServer, run: dict[str, Any]) -> list[dict[str, Any]]:
    wanted = {
        "event": {"name": ["prefect.flow-run.heartbeat"]},
        "any_resource": {"id": [f"prefect.flow-run.{run['id']}"]},
    }
    return list(prefect.asked("POST", "events/filter", filter=wanted)["events"])


@pytest.mark.slow
def test_a_run_from_the_terminal_sends_the_heartbeats_that_prefect_would(
    prefect: PrefectServer, images: Path, tmp_path: Path
) -> None:
    path = write_config(tmp_path / "config.yaml", config(images, tmp_path / "state") | {"corpus": "beating"})
    prefect.pinery("run", str(path))
    [run] = [run for run in prefect.found("flow_runs") if run["name"].startswith("beating ")]
    assert run["state"]["type"] == "COMPLETED"
    wait_until(lambda: heartbeats(prefect, run) != [])
    [sent] = heartbeats(prefect, run)
    assert sent["resource"]["prefect.resource.name"] == run["name"]
    [flow] = [related for related in sent["related"] if related["prefect.resource.role"] == "flow"]
    assert flow["prefect.resource.id"] == f"prefect.flow.{run['flow_id']}"
