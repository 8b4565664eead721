"""A deployment's flow run is cancelled, stopped or killed while it embeds: its slot is freed, and the next goes on."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.automations import NO_HEARTBEAT, register_automations
from pinery.records import Stored
from tests.corpora import config
from tests.drills.checks import NONE, check_fully, losses, parts, run_here
from tests.drills.conftest import TOTAL, Record
from tests.prefect_server import PREFECT, PrefectServer
from tests.processes import report, wait_until, write_config
from tests.s3_server import S3Server

DEPLOYMENT = "reindex/corpus-test"
HEARTBEAT = "30"
LOST = timedelta(seconds=45)
"""Without a heartbeat for so long, a run is dead: here, where one comes every 30 s, which is Prefect's least."""
SLOT_FREE_WITHIN = 240.0
FETCH_SECONDS = 0.4


@pytest.fixture
def path(prefect: PrefectServer, many_images: Path, s3_server: S3Server, tmp_path: Path) -> Iterator[Path]:
    """A deployed config over the images of the undisturbed run, on an S3 that hands out each of them late."""
    bucket = s3_server.new_bucket()
    for image in many_images.iterdir():
        s3_server.client().put_object(Bucket=bucket, Key=f"photos/{image.name}", Body=image.read_bytes())
    reach = {"endpoint_url": s3_server.endpoint_url, "region": "us-east-1"}
    source = {"kind": "s3", "uri": f"s3://{bucket}/photos", "metadata": "^(?P<label>[^-]+)-"} | reach
    made = write_config(tmp_path / "config.yaml", config(many_images, tmp_path / "state", source=source))
    prefect.pinery("deploy", str(made))
    with temporary_settings({PREFECT_API_URL: prefect.url}):
        assert register_automations(heartbeat_lost=LOST)[NO_HEARTBEAT] == "updated"
    s3_server.delay(FETCH_SECONDS, "photos/")
    yield made
    prefect.asked("DELETE", f"deployments/{prefect.deployment(DEPLOYMENT)['id']}")


def state_of(path: Path) -> Path:
    return path.parent / "state"


def embedding(prefect: PrefectServer, path: Path, worker: psutil.Process) -> tuple[str, psutil.Process]:
    """A flow run that is embedding, and its process."""
    identity = prefect.begin(DEPLOYMENT)
    wait_until(lambda: len(parts(state_of(path))) >= 3)
    assert prefect.state(identity) == "RUNNING"
    [process] = [one for one in worker.children() if one.environ().get("PREFECT__FLOW_RUN_ID") == identity]
    return identity, process


def cancel(prefect: PrefectServer, identity: str, worker: psutil.Process, process: psutil.Process) -> None:
    prefect.run(PREFECT, "flow-run", "cancel", identity)


def stop_the_worker(prefect: PrefectServer, identity: str, worker: psutil.Process, process: psutil.Process) -> None:
    worker.terminate()


def kill_the_flow(prefect: PrefectServer, identity: str, worker: psutil.Process, process: psutil.Process) -> None:
    process.kill()


def kill_both(prefect: PrefectServer, identity: str, worker: psutil.Process, process: psutil.Process) -> None:
    worker.kill()
    process.kill()


Stop = Callable[[PrefectServer, str, psutil.Process, psutil.Process], None]
SILENT = "no sign of life for 45 s"
STOPS: dict[str, tuple[Stop, str, str, tuple[str, ...]]] = {
    "a flow run is cancelled": (cancel, "CANCELLED", "", ("stopped",)),
    # Prefect's worker kills its flow runs then, and tells nobody (PrefectHQ/prefect#22528).
    "SIGTERM of a worker": (stop_the_worker, "CRASHED", SILENT, ("died", "stopped")),
    "kill -9 of a flow run": (kill_the_flow, "CRASHED", "status code: -9", ("died",)),
    "kill -9 of a flow run and its worker": (kill_both, "CRASHED", SILENT, ("died",)),
}
"""What happens to the flow run, the state that it ends in with words of its message, and how its report may end."""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", STOPS)
def test_a_flow_run_that_is_stopped_amid_its_work_frees_its_slot_and_the_next_goes_on(
    name: str,
    prefect: PrefectServer,
    path: Path,
    s3_server: S3Server,
    undisturbed: dict[str, Stored],
    drill_record: Record,
) -> None:
    stop, state, words, told = STOPS[name]
    with prefect.worker(PREFECT_FLOWS_HEARTBEAT_FREQUENCY=HEARTBEAT) as worker:
        identity, process = embedding(prefect, path, worker)
        stop(prefect, identity, worker, process)
        wait_until(lambda: prefect.state(identity) == state, seconds=SLOT_FREE_WITHIN)
        assert words in (prefect.flow_run(identity)["state"]["message"] or "")
        wait_until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    published = parts(state_of(path))
    assert len(published) < 30, "it was at its end already"
    last = report("runs", str(path))["runs"][0]
    assert last["state"] in told, last

    s3_server.delay(0, "")
    run, printed = prefect.worked(DEPLOYMENT)
    assert run["state"]["type"] == "COMPLETED", printed
    assert published.items() <= parts(state_of(path)).items(), "a published part was written again"
    check_fully(path)
    assert run_here(path)["unchanged"] == TOTAL
    cost = losses(path, undisturbed)
    assert cost == NONE
    drill_record(name, 1, cost)
