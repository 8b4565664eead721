"""One writer: takeover of the dead, refusal of the living, and no write after the lease is lost."""

import dataclasses
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
from pinery.clock import boottime
from pinery.errors import LeaseHeldError, LeaseLostError, TerminalError, TransientError
from tests.processes import wait_until

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


def test_a_killed_holder_of_another_pid_namespace_is_not_known_to_be_dead(tmp_path: Path) -> None:
    process = holder(tmp_path, ttl=0.5)
    process.kill()
    process.wait()
    store = LocalStore(tmp_path)
    change(store, pidns="pid:[1]")
    with pytest.raises(LeaseHeldError), lease(store):
        pass
    with lease(store, ttl=0.3, wait=True, waiting=lambda _: None) as taken:
        assert taken.after is not None


@pytest.mark.parametrize("hours", [-1, 0.005, 24 * 365])
def test_a_silent_holder_elsewhere_is_taken_over_whatever_its_clock_says(store: Store, hours: float) -> None:
    elsewhere(store, epoch=7, expires=time.time() + 3600 * hours)
    told: list[Holder] = []
    began = time.monotonic()
    with lease(store, ttl=0.3, wait=True, waiting=told.append) as taken:
        assert taken.epoch == 8
        assert taken.after is not None
        assert taken.after.run == "far"
    assert time.monotonic() - began >= 0.3, "an expiry of another clock proves nothing"
    assert {one.run for one in told} == {"far"}


@pytest.mark.parametrize("hours", [-1, 24 * 365])
def test_without_waiting_an_expiry_that_says_nothing_is_watched(store: Store, hours: float) -> None:
    elsewhere(store, expires=time.time() + 3600 * hours)
    with lease(store, ttl=0.3, waiting=lambda _: None) as taken:
        assert taken.after is not None


def test_without_waiting_a_holder_elsewhere_that_may_live_is_refused_at_once(store: Store) -> None:
    elsewhere(store, expires=time.time() + 1)
    with pytest.raises(LeaseHeldError, match="run far on another-host"), lease(store):
        pass


def test_a_holder_that_renews_is_never_taken_over_though_its_clock_is_behind(store: Store) -> None:
    elsewhere(store, expires=time.time() - 3600)
    renewing = threading.Event()

    def seen(_: Holder) -> None:
        if not renewing.is_set():
            renewing.set()
            change(store, expires=time.time() - 3500)

    with pytest.raises(LeaseHeldError), lease(store, ttl=0.3, waiting=seen):
        pass


def test_the_silence_that_a_holder_names_is_kept_by_one_with_a_shorter_ttl(store: Store) -> None:
    elsewhere(store, expires=time.time(), silence=0.9)
    began = time.monotonic()
    with lease(store, ttl=0.1, wait=True, waiting=lambda _: None):
        assert time.monotonic() - began >= 0.9


def test_a_request_may_outlive_a_silent_holder_by_its_longest_life(store: Store) -> None:
    elsewhere(store, expires=time.time())
    began = time.monotonic()
    with Lease(store, "lease.json", lambda: "run", 0.2, True, lambda _: None, life=0.7):
        assert time.monotonic() - began >= 0.9


def test_a_record_of_the_version_before_is_read(store: Store) -> None:
    elsewhere(store, epoch=3, expires=time.time() - 3600)
    found = store.read("lease.json")
    assert found is not None
    record = json.loads(found[0])
    for name in ("pidns", "silence", "quiet_in"):
        del record[name]
    store.write("lease.json", json.dumps(record).encode())
    with lease(store, ttl=0.2, waiting=lambda _: None) as taken:
        assert taken.epoch == 4


def test_a_record_that_is_none_is_named(store: Store) -> None:
    store.write("lease.json", b"{")
    with pytest.raises(TerminalError, match=r"the lease lease\.json can't be read"), lease(store):
        pass


def test_time_in_suspend_counts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with lease(store) as held:
        held.check()
        monkeypatch.setattr("pinery.checkpoint.lease.boottime", lambda: boottime() + 61)
        with pytest.raises(LeaseLostError, match="ran out after 60 s"):
            held.check()


# Requests in flight.


def test_a_lease_is_let_go_of_by_the_last_write_in_flight(store: Store) -> None:
    held = lease(store, "first").__enter__()
    with held.writing():
        with held.writing():
            held.release()
            with pytest.raises(LeaseLostError, match="has let go"), held.writing():
                pass
        with pytest.raises(LeaseHeldError), lease(store, "second"):
            pass
    with lease(store, "second") as second:
        assert second.after is None, "nothing was left behind"


def test_after_a_request_without_an_answer_the_next_holder_waits_for_its_end(store: Store) -> None:
    last = Lease(store, "lease.json", lambda: "a", 60, False, print, life=1)
    with pytest.raises(TransientError), last, last.writing():
        raise TransientError("timed out", unanswered=True)
    began = time.monotonic()
    with lease(store, "b", waiting=lambda _: None) as taken:
        assert time.monotonic() - began >= 0.7
        assert taken.after is not None


def test_after_requests_that_were_answered_nobody_waits(store: Store) -> None:
    last = Lease(store, "lease.json", lambda: "a", 60, False, print, life=60)
    with pytest.raises(TransientError), last, last.writing():
        raise TransientError("503")
    with lease(store, "b") as taken:
        assert taken.after is None


# Writes whose answer is lost.


class Forgetful(LocalStore):
    """Writes, and then fails as if the answer were lost, at the calls whose numbers are in `lost`."""

    def __init__(self, root: Path, lost: set[int]) -> None:
        super().__init__(root)
        self.lost, self.calls = lost, 0

    def replace(self, name: str, data: bytes, tag: str | None) -> str:
        written = super().replace(name, data, tag)
        self.calls += 1
        if self.calls in self.lost:
            raise TransientError("503, after the write was done")
        return written


@pytest.mark.parametrize("lost", [{1}, {2}, {2, 4}])
def test_a_renewal_whose_answer_is_lost_is_known_for_ones_own(tmp_path: Path, lost: set[int]) -> None:
    store = Forgetful(tmp_path, lost)
    with lease(store, ttl=0.8) as held:
        wait_until(lambda: store.calls >= 6)
        held.check()
    assert read_holder(store, "lease.json") is None


def test_a_lease_that_is_let_go_of_without_an_answer_is_free(tmp_path: Path) -> None:
    with lease(Forgetful(tmp_path, {2})) as held:
        held.check()
    with lease(LocalStore(tmp_path), "next") as taken:
        assert taken.epoch == 2


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


def elsewhere(store: Store, **changes: object) -> None:
    """A record of a run on another host."""
    one = Holder("far", "another-host", "boot", 1, "1", epoch=7, expires=0.0, pidns="pid:[1]")
    store.write("lease.json", dataclasses.replace(one, **changes).to_bytes())  # type: ignore[arg-type]  # its fields


def change(store: Store, **changes: object) -> None:
    """Change fields of the record in place."""
    found = store.read("lease.json")
    assert found is not None
    store.write("lease.json", json.dumps(json.loads(found[0]) | changes).encode())
