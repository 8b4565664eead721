"""Processes killed for real: what is published stays, is not embedded again, and the index ends as if undisturbed."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pinery.records import Stored
from tests.corpora import config
from tests.drills.checks import NONE, Losses, check_fully, held, ledger_files, losses, parts, run_here
from tests.drills.conftest import TOTAL, Record
from tests.drills.rounds import rounds
from tests.processes import pinery, report, start, wait_until, write_config

KILLED = "kill -9 of a run into the embedded index"
MOMENTS: dict[str, Callable[[Path], bool]] = {
    "with a listing and no part": lambda state: any(state.glob("test/listings/*.parquet")),
    "after the first part": lambda state: len(parts(state)) >= 1,
    "after the first ledger entry": lambda state: len(ledger_files(state)) >= 1,
    "amid the parts": lambda state: len(parts(state)) >= 12,
    "near the end": lambda state: len(parts(state)) >= 29,
}


def kill_when(condition: Callable[[], bool], config_file: Path, *settings: str) -> None:
    process = start("run", str(config_file), *(word for setting in settings for word in ("--set", setting)))
    wait_until(condition, process)
    process.kill()
    process.wait()


def check_recovery(config_file: Path, undisturbed: dict[str, Stored]) -> Losses:
    """The next run goes on where the last one ended; nothing is missing afterwards, and nothing is left to do."""
    state = config_file.parent / "state"
    published = parts(state)
    done = report("run", str(config_file))
    assert done["verified"]
    assert published.items() <= parts(state).items(), "a published part was written again"
    check_fully(config_file)
    assert run_here(config_file)["unchanged"] == TOTAL
    cost = losses(config_file, undisturbed)
    assert cost == NONE
    return cost


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(
    config_file: Path, undisturbed: dict[str, Stored], drill_record: Record
) -> None:
    state = config_file.parent / "state"
    kill_when(lambda: len(parts(state)) >= 5, config_file)
    drill_record(KILLED, 1, check_recovery(config_file, undisturbed))


@pytest.mark.slow
@pytest.mark.parametrize("moment", rounds(list(MOMENTS), few=2))
def test_killed_at_every_stage_with_worker_processes(
    moment: str, config_file: Path, undisturbed: dict[str, Stored], drill_record: Record
) -> None:
    state = config_file.parent / "state"
    kill_when(lambda: MOMENTS[moment](state), config_file, "runner.kind=processes", "runner.workers=2")
    drill_record(KILLED, 1, check_recovery(config_file, undisturbed))


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code", "name"), [(signal.SIGINT, 130, "SIGINT"), (signal.SIGTERM, 143, "SIGTERM")])
def test_a_signal_ends_a_run_cleanly_and_the_last_line_says_how_to_go_on(
    number: signal.Signals,
    code: int,
    name: str,
    config_file: Path,
    undisturbed: dict[str, Stored],
    drill_record: Record,
) -> None:
    state = config_file.parent / "state"
    process = start("run", str(config_file))
    wait_until(lambda: len(parts(state)) >= 3, process)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    last = stderr.strip().splitlines()[-1]
    assert name in last
    assert f"pinery run {config_file}" in last
    assert "Traceback" not in stderr + stdout
    assert len(parts(state)) < 30, "it ran to its end instead"
    told = report("status", str(config_file))
    assert told["running"] is None, "the lease was let go of"
    assert told["last_run"]["state"] == "stopped"
    assert name in told["last_run"]["error"]
    assert told["left"]["embed"] + told["left"]["upsert"] > 0
    if number == signal.SIGTERM:
        drill_record("SIGTERM", 1, check_recovery(config_file, undisturbed))


@pytest.mark.slow
def test_the_temporary_prefect_server_dies_with_its_killed_parent(config_file: Path) -> None:
    process = start("run", str(config_file), PREFECT_API_URL="")
    state = config_file.parent / "state"
    wait_until(lambda: len(parts(state)) >= 1, process)
    servers = [
        one
        for one in psutil.Process(process.pid).children(recursive=True)
        if any("temporary_server" in part for part in one.cmdline())
    ]
    assert len(servers) == 1
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(servers, timeout=20)
    assert alive == []


@pytest.mark.slow
def test_a_second_run_is_refused_or_waits(
    config_file: Path, undisturbed: dict[str, Stored], drill_record: Record
) -> None:
    state = config_file.parent / "state"
    first = start("run", str(config_file))
    wait_until(lambda: len(parts(state)) >= 1, first)
    first.send_signal(signal.SIGSTOP)  # it must be still at work when the others come
    refused = pinery("run", str(config_file))
    assert refused.returncode == 3, refused.stderr
    assert f"pid {first.pid}" in refused.stderr
    second = start("run", str(config_file), "--wait", "--json")
    assert second.stderr is not None
    assert "waiting for run" in second.stderr.readline()
    first.send_signal(signal.SIGCONT)
    assert first.wait() == 0
    stdout, stderr = second.communicate(timeout=120)
    assert second.returncode == 0, stderr
    assert json.loads(stdout)["unchanged"] == TOTAL
    cost = losses(config_file, undisturbed)
    drill_record("two runs at once", 1, cost)
    assert cost == NONE


@pytest.mark.slow
def test_a_stopped_holder_writes_nothing_after_its_lease_was_taken(
    many_images: Path, tmp_path: Path, undisturbed: dict[str, Stored], drill_record: Record
) -> None:
    settings = config(many_images, tmp_path / "state", run={"part_rows": 5, "lease_ttl": 2})
    path = write_config(tmp_path / "config.yaml", settings)
    state = tmp_path / "state"
    first = start("run", str(path))
    wait_until(lambda: len(parts(state)) >= 2, first)
    first.send_signal(signal.SIGSTOP)
    second = start("run", str(path), "--wait", "--json")
    assert second.wait(timeout=120) == 0
    before = (parts(state), ledger_files(state), held(path), sorted((state / "test" / "runs").iterdir()))
    os.kill(first.pid, signal.SIGCONT)
    _, stderr = first.communicate(timeout=60)
    assert first.returncode == 1, stderr
    assert "lease" in stderr
    assert (parts(state), ledger_files(state), held(path), sorted((state / "test" / "runs").iterdir())) == before
    cost = losses(path, undisturbed)
    drill_record("a holder stopped past its lease", 1, cost)
    assert cost == NONE
