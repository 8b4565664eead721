"""One writer: takeover of the dead, refusal of the living, and no write after the lease is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pinery.checkpoint.lease import Holder, Lease, read_holder
from pinery.checkpoint.store import LocalStore, Store
from pinery.errors import LeaseHeldError, LeaseLostError

HOLD = """
import sys, pathlib
from pinery.checkpoint.lease import Lease
from pinery.checkpoint.store import LocalStore
store = LocalStore(pathlib.Path(sys.argv[1]))
with Lease(store, "lease.json", lambda: "other-run", float(sys.argv[2]), False, print) as lease:
    print(lease.epoch, flush=True)
    for line in sys.stdin:
        try:
            lease.check()
            print("may write", flush=True)
        except Exception as error:
            print(type(error).__name__, flush=True)
"""


def lease(store: Store, run: str = "run", ttl: float = 60, wait: bool = False, waiting: object = print) -> Lease:
    return Lease(store, "lease.json", lambda: run, ttl, wait, waiting)  # type: ignore[arg-type]  # any callable will do


def holder(folder: Path, ttl: float = 60) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(ttl)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip().isdigit()
    return process


def ask(process: subprocess.Popen[str]) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("?\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def test_a_second_holder_is_refused_until_the_first_lets_go(store: Store) -> None:
    with lease(store, "first") as first:
        first.check()
        with pytest.raises(LeaseHeldError, match="run first on"), lease(store, "second"):
            pass
        assert read_holder(store, "lease.json") is not None
    assert read_holder(store, "lease.json") is None
    with lease(store, "second") as second:
        assert second.epoch == first.epoch + 1
    with pytest.raises(LeaseLostError):
        first.check()


def test_a_killed_holder_on_this_host_is_dead_at_once(tmp_path: Path) -> None:
    process = holder(tmp_path)
    with pytest.raises(LeaseHeldError), lease(LocalStore(tmp_path)):
        pass
    process.kill()
    process.wait()
    with lease(LocalStore(tmp_path)) as taken:
        assert taken.epoch == 2


def test_a_holder_stopped_past_its_lease_writes_nothing_after_it_wakes(tmp_path: Path) -> None:
    process = holder(tmp_path, ttl=1)
    assert ask(process) == "may write"
    process.send_signal(signal.SIGSTOP)
    with lease(LocalStore(tmp_path), ttl=60, wait=True, waiting=lambda _: None):
        process.send_signal(signal.SIGCONT)
        assert ask(process) == "LeaseLostError"
    assert process.stdin is not None
    process.stdin.close()
    process.wait()


def test_a_holder_on_another_host_is_waited_for_until_its_lease_expires(store: Store) -> None:
    elsewhere = Holder("far", "another-host", "boot", 1, "1", epoch=7, expires=time.time() + 1)
    store.replace("lease.json", json.dumps({**_dict(elsewhere)}).encode(), None)
    with pytest.raises(LeaseHeldError, match="another-host"), lease(store):
        pass
    told: list[Holder] = []
    with lease(store, wait=True, waiting=told.append) as taken:
        assert taken.epoch == 8
    assert told
    assert told[0].run == "far"


def test_a_recycled_pid_does_not_keep_a_lease(store: Store) -> None:
    with lease(store, "first"):
        found = store.read("lease.json")
    assert found is not None
    record = json.loads(found[0]) | {"released": False, "start": "1", "pid": os.getpid()}
    store.write("lease.json", json.dumps(record).encode())
    with lease(store, "second") as second:
        second.check()


def test_renewal_keeps_a_lease_past_its_ttl(tmp_path: Path) -> None:
    with lease(LocalStore(tmp_path), ttl=0.4) as held:
        threading.Event().wait(1.0)  # longer than two leases: only renewal keeps it
        held.check()


def _dict(one: Holder) -> dict[str, object]:
    return {name: getattr(one, name) for name in Holder.__slots__}
