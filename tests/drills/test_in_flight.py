"""Requests in flight when a run is told to stop, or hangs: none is overtaken unnoticed."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.corpora import config, paint
from tests.drills.checks import check_fully, held, run_here
from tests.pinecone_server.faults import Gate
from tests.pinecone_server.server import PineconeServer
from tests.processes import report, start, write_config

WATCHED_SECONDS = 3.0
"""For how long a run that was told to stop must keep its lease: less than a request may take."""


@pytest.fixture
def config_file(images: Path, tmp_path: Path, pinecone_environment: PineconeServer) -> Path:
    """Twelve images in a Pinecone index; requests live for 20 seconds, half of them for the answer."""
    settings = config(
        images,
        tmp_path / "state",
        index={"kind": "pinecone"},
        run={"part_rows": 5, "lease_ttl": 5},
        upsert={"request_timeout": 20},
    )
    path = write_config(tmp_path / "config.yaml", settings)
    assert run_here(path)["upserted"] == 12
    return path


@pytest.fixture
def gate(config_file: Path, images: Path, pinecone_environment: PineconeServer) -> Iterator[Gate]:
    """Stops the next upsert, of red-0 as it is now."""
    paint(images / "red-0.jpg", "green", 98)
    gate = pinecone_environment.faults.block("upsert")
    yield gate
    gate.release()


def released(config_file: Path) -> bool:
    [path] = (config_file.parent / "state").glob("test/*/lease.json")
    return bool(json.loads(path.read_text())["released"])


def in_flight(config_file: Path, gate: Gate) -> subprocess.Popen[str]:
    """A run whose upsert hangs."""
    process = start("run", str(config_file))
    assert gate.arrived.wait(120), process.communicate()
    return process


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_two_signals_do_not_let_go_of_the_lease_while_a_request_is_in_flight(
    config_file: Path, gate: Gate, images: Path, number: signal.Signals, code: int
) -> None:
    process = in_flight(config_file, gate)
    for _ in range(2):
        process.send_signal(number)
        time.sleep(0.04)  # as fast as a finger
    until = time.monotonic() + WATCHED_SECONDS
    while time.monotonic() < until:
        assert not released(config_file)
        time.sleep(0.05)
    gate.release()
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == code, stderr
    assert "Traceback" not in stdout + stderr
    assert "Aborted" not in stderr
    paint(images / "red-0.jpg", "blue", 99)
    assert run_here(config_file)["upserted"] >= 1
    check_fully(config_file)


@pytest.mark.slow
def test_what_lands_after_a_take_over_is_put_right_by_the_next_run(
    config_file: Path, gate: Gate, images: Path, pinecone_environment: PineconeServer
) -> None:
    process = in_flight(config_file, gate)
    process.send_signal(signal.SIGSTOP)
    paint(images / "red-0.jpg", "blue", 99)
    assert report("run", str(config_file), "--wait")["upserted"] >= 1
    right = held(config_file)["red-0.jpg"].values
    gate.release()  # long after the longest life of a request
    assert pinecone_environment.log.wait_idle(30)
    process.send_signal(signal.SIGCONT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "lease" in stderr
    assert run_here(config_file)["unchanged"] == 12
    assert held(config_file)["red-0.jpg"].values == right
    check_fully(config_file)
