"""Histories of leases over hosts with clocks of their own: no two ever write at once, nor over what may still land."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pinery.checkpoint import holder as holder_module
from pinery.checkpoint import lease as lease_module
from pinery.checkpoint.holder import Place
from pinery.checkpoint.lease import Lease
from pinery.checkpoint.store import LocalStore
from pinery.errors import ConflictError, LeaseHeldError, LeaseLostError, TransientError

TTL, LIFE = 100.0, 40.0
AT = st.integers(0, 4)
"""The process that does it."""
OFFSETS = (0.0, 180.0, -1000.0, 1e7)
"""The difference of each host's clock from the true time, in seconds."""


@dataclass
class Host:
    """A machine: its name may be another's too, its boot is its own."""

    name: str
    boot: str
    offset: float
    asleep: bool = False
    slept: float = 0.0


@dataclass
class Process:
    """A process in a pid namespace of a host; its writes, each from when it was sent to when it can't land any more."""

    host: Host
    pidns: str
    pid: int
    start: str
    alive: bool = True
    lease: Lease | None = None
    held: bool = False
    flight: ExitStack | None = None
    sent_at: float = 0.0
    may_land_until: float = 0.0


class Losing(LocalStore):
    """A store that may lose the answer of a write, after or before its effect."""

    lose = ""

    def replace(self, name: str, data: bytes, tag: str | None) -> str:
        lose, self.lose = self.lose, ""
        if lose == "before":
            raise TransientError("503")
        written = super().replace(name, data, tag)
        if lose == "after":
            raise TransientError("503, after the write was done")
        if lose == "conflict":
            raise ConflictError("412 for a request that the SDK repeated")
        return written


class Histories(RuleBasedStateMachine):
    """Processes that take, renew, use and lose one lease."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = Losing(self.folder)
        self.now = 1000.0
        self.runs = 0
        # Two machines share a name; the second has two containers, whose pid namespaces both know a process 1.
        hosts = [Host("one", "b1", OFFSETS[0]), Host("two", "b2", OFFSETS[1]), Host("two", "b3", OFFSETS[2])]
        places = [(hosts[0], "n0"), (hosts[1], "n1"), (hosts[1], "n2"), (hosts[2], "n1"), (hosts[0], "n0")]
        self.processes = [Process(host, ns, 1 + at // 4, str(at)) for at, (host, ns) in enumerate(places)]

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @initialize(offset=st.sampled_from(OFFSETS))
    def clocks(self, offset: float) -> None:
        self.processes[0].host.offset = offset

    @rule(seconds=st.sampled_from([1.0, 24.0, 39.0, 41.0, 99.0, 101.0, 139.0, 141.0, 1000.0]))
    def time_passes(self, seconds: float) -> None:
        """No request of a process that runs stays in flight beyond its life."""
        until = self.now + seconds
        while self.now < until:
            step = min(TTL / 4, until - self.now)
            self.now += step
            for host in {id(p.host): p.host for p in self.processes}.values():
                host.slept += step if host.asleep else 0.0
            for process in self.processes:
                if process.flight is not None and self.now >= process.sent_at + LIFE * 0.75 and self.runs_now(process):
                    self.end_write(process, answered=False)

    @rule(at=AT, lose=st.sampled_from(["", "", "", "after", "before", "conflict"]))
    def take(self, at: int, lose: str) -> None:
        process = self.processes[at]
        if process.held or not self.runs_now(process):
            return
        with self.as_seen_by(process):
            if process.lease is None:
                self.runs += 1
                name = f"run-{self.runs}"
                process.lease = Lease(self.store, "lease.json", lambda: name, TTL, True, lambda _: None, LIFE)
            self.store.lose = lose
            try:
                process.held = process.lease._acquire()
            except (LeaseHeldError, TransientError):
                process.lease = None
            self.store.lose = ""

    @rule(at=AT, patience=st.lists(st.sampled_from([TTL - 1, TTL / 4, LIFE]), min_size=1, max_size=3), writer=AT)
    def wait_for_it(self, at: int, patience: list[float], writer: int) -> None:
        """Watch the lease and take it as soon as it stood still for long enough, while another writes late."""
        self.take(at, "")
        for seconds in patience:
            self.time_passes(seconds)
            self.begin_write(writer)
            self.take(at, "")

    @rule(at=AT, lose=st.sampled_from(["", "", "after", "before", "conflict"]))
    def renew(self, at: int, lose: str) -> None:
        process = self.processes[at]
        if process.held and process.lease and self.runs_now(process):
            with self.as_seen_by(process):
                self.store.lose = lose
                process.lease._renew()
                self.store.lose = ""

    @rule(at=AT)
    def begin_write(self, at: int) -> None:
        process = self.processes[at]
        if not (process.held and process.lease and self.runs_now(process)) or process.flight is not None:
            return
        with self.as_seen_by(process):
            flight = ExitStack()
            try:
                flight.enter_context(process.lease.writing())
            except LeaseLostError:
                return
            process.flight, process.sent_at, process.may_land_until = flight, self.now, self.now + LIFE

    @rule(at=AT, answered=st.booleans())
    def finish_write(self, at: int, answered: bool) -> None:
        process = self.processes[at]
        if process.flight is not None and self.runs_now(process):
            self.end_write(process, answered)

    @rule(at=AT)
    def let_go(self, at: int) -> None:
        process = self.processes[at]
        if process.held and process.lease and self.runs_now(process):
            with self.as_seen_by(process):
                process.lease.release()
            process.held = False
            if process.flight is None:
                process.lease = None

    @rule(at=AT)
    def sleep_or_wake(self, at: int) -> None:
        host = self.processes[at].host
        host.asleep = not host.asleep

    @precondition(lambda self: sum(not process.alive for process in self.processes) < 3)
    @rule(at=AT)
    def kill(self, at: int) -> None:
        """Killed, and a process with the same pid started in its place; the kernel throws away what wasn't sent."""
        process = self.processes[at]
        process.alive = False
        self.processes[at] = Process(process.host, process.pidns, process.pid, process.start + "'")
        self.processes.append(process)

    @invariant()
    def one_writes(self) -> None:
        writing = [process for process in self.processes if self.may_write(process)]
        assert len(writing) <= 1
        for process in writing:
            # What a process that is proven dead had sent is the index' to finish; README says so.
            others = [one for one in self.processes if one is not process and one.alive]
            assert all(one.may_land_until <= self.now for one in others), "an earlier holder's write may still land"

    def end_write(self, process: Process, answered: bool) -> None:
        assert process.flight is not None
        error = None if answered else TransientError("timed out", unanswered=True)
        if answered:
            process.may_land_until = self.now
        with self.as_seen_by(process):
            process.flight.__exit__(type(error) if error else None, error, None)
        process.flight = None
        if not process.held:
            process.lease = None

    def runs_now(self, process: Process) -> bool:
        return process.alive and not process.host.asleep

    def may_write(self, process: Process) -> bool:
        if not (process.held and process.lease and self.runs_now(process)):
            return False
        with self.as_seen_by(process):
            try:
                process.lease.check()
            except LeaseLostError:
                return False
        return True

    @contextmanager
    def as_seen_by(self, process: Process) -> Iterator[None]:
        """Clocks and processes as `process` sees them."""
        host = process.host
        clock = SimpleNamespace(time=lambda: self.now + host.offset, monotonic=lambda: self.now - host.slept)

        def start(pid: int) -> str | None:
            near = [one for one in self.processes if (one.host, one.pidns, one.alive) == (host, process.pidns, True)]
            return next((one.start for one in near if one.pid == pid), None)

        with pytest.MonkeyPatch.context() as patch:
            for module in (lease_module, holder_module):
                patch.setattr(module, "here", lambda: Place(host.name, host.boot, process.pidns))
                patch.setattr(module, "process_start", start)
            patch.setattr(lease_module, "time", clock)
            patch.setattr(lease_module, "boottime", lambda: self.now)
            patch.setattr(lease_module.os, "getpid", lambda: process.pid)
            yield


Histories.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestHistories = Histories.TestCase


@contextmanager
def history() -> Iterator[Histories]:
    """A history to be told step by step; process 0 takes the lease first."""
    told = Histories()
    told.take(0, "")
    assert told.may_write(told.processes[0])
    yield told
    told.one_writes()
    told.teardown()


def test_a_host_that_slept_through_a_take_over_writes_nothing() -> None:
    with history() as told:
        told.sleep_or_wake(0)
        told.take(3, "")
        told.time_passes(TTL + LIFE + 1)
        told.take(3, "")
        assert told.may_write(told.processes[3])
        told.sleep_or_wake(0)
        assert not told.may_write(told.processes[0])


def test_a_write_of_the_last_second_is_over_before_another_begins() -> None:
    with history() as told:
        told.take(3, "")
        told.time_passes(TTL - 1)
        told.begin_write(0)
        told.time_passes(2)
        told.take(3, "")
        assert not told.may_write(told.processes[3])
        told.time_passes(LIFE)
        told.take(3, "")
        assert told.may_write(told.processes[3])


def test_a_lease_is_fresh_from_the_moment_before_its_renewal() -> None:
    with history() as told:
        told.time_passes(TTL)
        assert not told.may_write(told.processes[0])
