"""Prefect's API dies or hangs under a run: the run goes on, ends soon after its work, and is not failed by it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from pinery.steps.status import status
from tests.drills.conftest import TOTAL
from tests.filled import opened
from tests.processes import messages, start, wait_until

ENDS_WITHIN = 60.0
"""The seconds from the work's end to the process's: Prefect's own retries take twice as long on an idle machine."""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
def test_a_run_does_not_need_its_api(number: signal.Signals, config_file: Path) -> None:
    parts = config_file.parent / "state"
    process = start("run", str(config_file), PREFECT_API_URL="")
    wait_until(lambda: len(list(parts.glob("test/*/parts/*.parquet"))) >= 3, process)
    [server] = [
        one for one in psutil.Process(process.pid).children() if "temporary_server.py" in " ".join(one.cmdline())
    ]
    os.kill(server.pid, number)
    corpus = opened(str(config_file))
    wait_until(lambda: (status(corpus).to_dict()["last_run"] or {}).get("state") == "done", process)
    ended = time.monotonic()
    out, err = process.communicate(timeout=ENDS_WITHIN + 60)
    assert time.monotonic() - ended < ENDS_WITHIN
    assert process.returncode == 0, err
    assert f"embedded     {TOTAL}" in out
    [line] = messages(subprocess.CompletedProcess(process.args, process.returncode, out, err))
    assert "could not be told how the run ended" in line
    assert status(corpus).to_dict()["running"] is None
    assert not server.is_running()
