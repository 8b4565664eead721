"""Worker processes killed for real: no part lost or doubled, the index as if undisturbed, nobody left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from tests.corpora import config, jpeg
from tests.drills.checks import embedded_twice, held, parts, run_here
from tests.processes import PINERY, environment, halted, report, start, wait_until, write_config
from tests.s3_server import S3Server

TOTAL = 150


@pytest.fixture
def workers_config(many_images: Path, tmp_path: Path) -> Path:
    """A config for two workers over six parts, an image a batch, so that parts take a while."""
    runner = {"kind": "processes", "workers": 2}
    model = {"name": "descriptor", "device": "cpu", "batch": 1}
    settings = config(many_images, tmp_path / "state", runner=runner, model=model, run={"part_rows": 25})
    return write_config(tmp_path / "config.yaml", settings)


def on_threads(workers_config: Path) -> dict[str, object]:
    """The rows of the index after an undisturbed run without workers."""
    settings = dict(yaml.safe_load(workers_config.read_text()))
    del settings["runner"]
    settings["state"] += "-undisturbed"
    path = write_config(workers_config.with_name("undisturbed.yaml"), settings)
    assert run_here(path)["embedded"] == TOTAL
    return dict(held(path))


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The worker processes of a run that is alive."""
    with contextlib.suppress(psutil.Error):
        children = psutil.Process(process.pid).children()
        return [child for child in children if any("spawn_main" in part for part in child.cmdline())]
    return []


def amid_a_part(process: subprocess.Popen[str]) -> psutil.Process | None:
    """A worker that is writing a part right now, halted there."""
    return halted(workers_of(process), writes)


def writes(worker: psutil.Process) -> bool:
    return any("/.scratch/" in file.path for file in worker.open_files())


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    """Nothing of the run is left, whatever the test found."""
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_a_worker_killed_amid_a_part_costs_that_part_alone(workers_config: Path) -> None:
    state = workers_config.parent / "state"
    process = start("run", str(workers_config), "--json")
    with ended(process):
        found: list[psutil.Process] = []
        wait_until(lambda: bool(found.extend(filter(None, [amid_a_part(process)])) or found), process)
        others = workers_of(process)
        assert len(others) == 2
        published = parts(state)
        found[0].kill()
        stdout, stderr = process.communicate(timeout=200)
    assert process.returncode == 0, stderr
    done = json.loads(stdout)
    assert (done["embedded"], done["parts"], done["verified"]) == (TOTAL, 6, True)
    assert published.items() <= parts(state).items()
    assert embedded_twice(workers_config) == []
    assert held(workers_config) == on_threads(workers_config)
    assert psutil.wait_procs(others, timeout=20)[1] == []


@pytest.mark.slow
def test_workers_die_with_a_killed_run_and_the_next_goes_on(workers_config: Path) -> None:
    state = workers_config.parent / "state"
    process = start("run", str(workers_config))
    with ended(process):
        wait_until(lambda: len(parts(state)) >= 1, process)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(workers_of(process)) == 2
        process.kill()
        process.communicate()
    assert psutil.wait_procs(family, timeout=30)[1] == []
    published = parts(state)
    done = report("run", str(workers_config))
    assert done["verified"]
    assert done["unchanged"] + done["new"] == TOTAL
    assert published.items() <= parts(state).items()
    assert embedded_twice(workers_config) == []
    assert held(workers_config) == on_threads(workers_config)


@pytest.mark.slow
def test_ctrl_c_ends_run_and_workers_cleanly(workers_config: Path) -> None:
    state = workers_config.parent / "state"
    process = subprocess.Popen(
        [*PINERY, "run", str(workers_config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    with ended(process):
        wait_until(lambda: len(parts(state)) >= 1, process)
        family = workers_of(process)
        assert len(family) == 2
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers get it too
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr + stdout
    assert f"pinery run {workers_config}" in stderr.strip().splitlines()[-1]
    assert psutil.wait_procs(family, timeout=20)[1] == []
    assert embedded_twice(workers_config) == []
    assert report("status", str(workers_config))["running"] is None


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
def test_a_worker_that_got_ready_dies_with_a_run_that_is_stopped_while_it_lists(
    number: signal.Signals, s3_server: S3Server, tmp_path: Path
) -> None:
    bucket, listing, over = s3_server.new_bucket(), threading.Event(), threading.Event()
    s3_server.client().put_object(Bucket=bucket, Key="red.jpg", Body=jpeg("red", 0))
    source = {"kind": "s3", "uri": f"s3://{bucket}", "endpoint_url": s3_server.endpoint_url, "region": "us-east-1"}
    model = {"name": "descriptor", "device": "cpu", "precision": "fp32", "decode": "exact"}
    runner = {"kind": "processes", "workers": 2}
    settings = config(tmp_path, tmp_path / "state", source=source, model=model, runner=runner)

    def hold() -> None:
        listing.set()
        over.wait()

    s3_server.hold(hold, "")
    process = start("run", str(write_config(tmp_path / "config.yaml", settings)))
    with ended(process):
        wait_until(listing.is_set, process)
        [worker] = workers_of(process)
        process.send_signal(number)
        over.set()
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -number), stderr
    assert "Traceback" not in stderr + stdout
    assert psutil.wait_procs([worker], timeout=20)[1] == []
    assert parts(tmp_path / "state") == {}


@pytest.mark.slow
def test_a_part_whose_workers_always_die_fails_the_run_which_can_go_on(workers_config: Path) -> None:
    state = workers_config.parent / "state"
    process = start("run", str(workers_config))
    over = threading.Event()

    def kill_all() -> None:
        while not over.wait(0.005):
            if worker := amid_a_part(process):
                worker.kill()

    killer = threading.Thread(target=kill_all)
    killer.start()
    with ended(process):
        _, stderr = process.communicate(timeout=280)
        over.set()
        killer.join()
    assert process.returncode == 1, stderr
    assert "died with exit code -9 (SIGKILL)" in stderr
    assert "part-0000000" in stderr
    assert "run the same command again" in stderr
    assert parts(state) == {}
    done = report("run", str(workers_config))
    assert (done["embedded"], done["verified"]) == (TOTAL, True)
    assert held(workers_config) == on_threads(workers_config)
