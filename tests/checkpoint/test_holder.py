"""A lease's holder is dead only where that is proven from here, and an unreadable record is never taken for none."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from pinery.checkpoint.holder import Holder, Place, here, parse_holder, process_start, read_holder
from pinery.checkpoint.store import Store
from pinery.errors import TerminalError


def holder(pid: int, **changes: object) -> Holder:
    place, start = here(), process_start(pid) or ""
    made = Holder("run", place.host, place.boot, pid, start, 1, time.time() + 60, pidns=place.pidns)
    return replace(made, **changes)  # type: ignore[arg-type]


def mine(**changes: object) -> Holder:
    return holder(os.getpid(), **changes)


def test_a_record_is_read_as_it_was_written_and_whatever_a_later_version_added() -> None:
    written = mine(silence=40.0, quiet_in=3.5)
    assert parse_holder("lease", written.to_bytes()) == written
    more = json.dumps(json.loads(written.to_bytes()) | {"mood": "good"}).encode()
    assert parse_holder("lease", more) == written


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'{"run": "a"}', b"\xff"])
def test_a_record_that_can_not_be_read_is_an_error_and_no_free_lease(store: Store, data: bytes) -> None:
    store.write("lease.json", data)
    with pytest.raises(TerminalError, match=r"lease\.json can't be read .* if no run of this corpus is under"):
        read_holder(store, "lease.json")


def test_a_process_that_runs_is_not_dead_and_one_that_ended_is() -> None:
    assert not mine().is_proven_dead()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        child = holder(process.pid)
        assert not child.is_proven_dead()
        process.kill()
        while process_start(process.pid) == child.start:
            time.sleep(0.01)
        assert child.is_proven_dead(), "a zombie writes nothing any more"
    assert process_start(process.pid) is None
    assert child.is_proven_dead()


def test_a_process_with_the_pid_of_a_dead_one_is_not_taken_for_it() -> None:
    assert mine(start="12").is_proven_dead(), "another process has that pid by now"


@pytest.mark.parametrize(
    "change", [{"host": "elsewhere"}, {"boot": "another"}, {"pidns": "pid:[1]"}, {"pidns": None}], ids=str
)
def test_nothing_is_proven_of_a_process_elsewhere(change: dict[str, object]) -> None:
    assert not mine(start="12", **change).is_proven_dead()


def test_two_records_of_one_holder_are_the_same_however_often_it_renewed() -> None:
    one = mine()
    assert one.is_same_as(replace(one, expires=one.expires + 60, silence=9.0))
    for change in ({"epoch": 2}, {"run": "another"}, {"pid": 1}, {"released": True}, {"start": "12"}, {"host": "b"}):
        assert not one.is_same_as(replace(one, **change))  # type: ignore[arg-type]


def test_who_holds_a_lease_is_told_unless_it_is_known_to_have_ended(store: Store) -> None:
    assert read_holder(store, "lease.json") is None
    expired, elsewhere = time.time() - 1, {"host": "elsewhere"}
    for record, held in [
        (mine(), True),
        (mine(expires=expired), True),  # it is seen to run
        (mine(released=True), False),
        (mine(start="12"), False),
        (mine(**elsewhere), True),
        (mine(expires=expired, **elsewhere), False),
    ]:
        store.write("lease.json", record.to_bytes())
        assert read_holder(store, "lease.json") == (record if held else None)


def test_this_process_is_here() -> None:
    place = here()
    assert place == mine().place
    assert place.host
    assert isinstance(place, Place)
