"""The upsert engine over the Pinecone index and the local server: every row is settled once, whatever goes wrong."""

import itertools
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pinery.errors import AccessDeniedError, StoppedError, TerminalError, ThrottledError, TransientError
from pinery.indexes.encoded_size import json_sizes
from pinery.indexes.engine import Patience, Settled, upsert_rows
from pinery.indexes.lance import LanceIndex
from pinery.indexes.pinecone import PineconeIndex
from pinery.indexes.protocol import Index
from pinery.records import Identity
from pinery.target_settings import LanceSettings, PineconeSettings
from tests.indexes.rows import batch
from tests.pinecone_server import PineconeServer

WINDOW = 3
AT_ONCE = {"Retry-After": "0"}
TOO_MUCH = {"text": "x" * 41_000}
"""Metadata that the SDK sends and Pinecone refuses."""


@dataclass
class Waits:
    """Waits out pauses without sleeping, and keeps what was told."""

    stop: threading.Event = field(default_factory=threading.Event)
    paused: threading.Event = field(default_factory=threading.Event)
    notes: list[str] = field(default_factory=list)
    paused_for: float = 0.0

    def check(self) -> None:
        if self.stop.is_set():
            raise StoppedError("asked to stop")

    def pause(self, seconds: float) -> None:
        assert 0 <= seconds <= 30
        self.paused_for += seconds
        self.paused.set()

    def pause_until_stopped(self, seconds: float) -> None:
        self.paused.set()
        assert self.stop.wait(60), "nobody stopped the run"
        self.check()

    def patience(self, seconds: float = 60) -> Patience:
        return Patience(seconds, self.check, self.pause, self.notes.append)


@pytest.fixture
def index(server: PineconeServer) -> PineconeIndex:
    return created(server)


@pytest.fixture
def waits() -> Waits:
    return Waits()


def created(server: PineconeServer, namespace: str = "n") -> PineconeIndex:
    """A created index of three dimensions that takes `WINDOW` requests at once."""
    made = PineconeIndex(PineconeSettings(kind="pinecone"), "things", namespace, 3, max_concurrency=WINDOW)
    made.ensure(Identity("state", "inc", "model"))
    server.log.clear()
    return made


def rows(start: int, stop: int, bad: frozenset[int] = frozenset()) -> pa.RecordBatch:
    """Rows with the ids `start` to `stop` (exclusive); Pinecone refuses the metadata of those in `bad`."""
    numbers = range(start, stop)
    metadata = [TOO_MUCH | {"n": n} if n in bad else {"n": n} for n in numbers]
    return batch([str(n) for n in numbers], [[1.0, float(n), 0.5] for n in numbers], metadata)


def batches(count: int, size: int = 5) -> Iterator[pa.RecordBatch]:
    """So many batches of so many rows; each is one request, as it is far below every limit."""
    for start in range(0, count * size, size):
        yield rows(start, start + size)


def ids(settled: list[Settled]) -> list[str]:
    return [id for one in settled for id in one.rows["id"].to_pylist()]


def refused(settled: list[Settled]) -> dict[str, str]:
    """The refused ids and why."""
    return {one.rows["id"][at].as_py(): words for one in settled for at, words in one.refused.items()}


def held(server: PineconeServer, namespace: str = "n") -> set[str]:
    return set(server.data("things").records(namespace))


def numbered(count: int) -> list[str]:
    return [str(n) for n in range(count)]


# Nothing goes wrong.


def test_every_row_is_settled_once_in_the_order_sent(
    server: PineconeServer, index: PineconeIndex, waits: Waits
) -> None:
    server.settings.latency = 0.01
    settled = list(upsert_rows(index, batches(20), waits.patience()))
    assert ids(settled) == numbered(100)
    assert held(server) == set(numbered(100))
    assert (server.log.count("upsert"), server.log.records("upsert")) == (20, 100)
    assert (refused(settled), waits.notes) == ({}, [])
    record = server.data("things").records("n")["42"]
    assert (record.values.tolist(), record.metadata) == ([1.0, 42.0, 0.5], {"n": 42.0})


def test_no_more_requests_are_in_flight_than_the_index_takes(
    server: PineconeServer, index: PineconeIndex, waits: Waits
) -> None:
    server.settings.latency = 0.02
    list(upsert_rows(index, batches(12), waits.patience()))
    assert server.log.peak("upsert") == WINDOW


def test_batches_are_pulled_only_as_their_turn_comes(index: PineconeIndex, waits: Waits) -> None:
    pulled = settled = furthest = 0

    def endless() -> Iterator[pa.RecordBatch]:
        nonlocal pulled, furthest
        for n in itertools.count():
            pulled += 1
            furthest = max(furthest, pulled - settled)
            yield rows(n, n + 1)

    results = upsert_rows(index, endless(), waits.patience())
    for _ in range(50):
        next(results)
        settled += 1
    results.close()
    assert furthest == 2 * WINDOW + 1
    assert pulled <= 50 + 2 * WINDOW + 1


def test_rows_are_packed_into_requests_within_the_limits_of_the_index(
    server: PineconeServer, index: PineconeIndex, waits: Waits
) -> None:
    list(upsert_rows(index, [rows(0, 2500)], waits.patience()))
    assert sorted(entry.records for entry in server.log.entries if entry.op == "upsert") == [500, 1000, 1000]
    assert held(server) == set(numbered(2500))


# Outages.


@pytest.mark.parametrize("status", [503, 500])
def test_an_outage_is_waited_out(server: PineconeServer, index: PineconeIndex, waits: Waits, status: int) -> None:
    server.faults.push("upsert", status, times=40, headers=AT_ONCE)
    settled = list(upsert_rows(index, batches(6), waits.patience()))
    assert server.faults.pending == 0
    assert (ids(settled), refused(settled)) == (numbered(30), {})
    assert held(server) == set(numbered(30))
    assert waits.notes
    for note in waits.notes:
        assert note.startswith("Pinecone index things: ")
        assert str(status) in note
        assert re.search(r"; next try within 30 s, giving up in \d+ (s|min)$", note)


def test_an_index_that_asks_for_less_gets_less_and_then_more_again(
    server: PineconeServer, index: PineconeIndex, waits: Waits
) -> None:
    server.faults.push("upsert", 429, times=40, headers=AT_ONCE)
    settled = list(upsert_rows(index, batches(6), waits.patience()))
    assert (ids(settled), held(server)) == (numbered(30), set(numbered(30)))
    slower = [note for note in waits.notes if "asks for fewer requests" in note]
    assert slower[0] == "index things asks for fewer requests: at most 1 at once for now", "half of three"
    assert any("429" in note and "next try" in note for note in waits.notes)


class Busy:
    """An index that tells the first `WINDOW` requests, all in flight at once, to slow down; it notes how many are."""

    name, max_request_rows, max_request_bytes, max_concurrency = "busy", 1000, 2_000_000, WINDOW

    def __init__(self) -> None:
        self.in_flight = 0
        self.seen: list[int] = []
        self.lock = threading.Lock()
        self.together = threading.Barrier(WINDOW)

    def row_bytes(self, rows: pa.RecordBatch) -> NDArray[np.int64]:
        return json_sizes(rows)

    def upsert(self, rows: pa.RecordBatch) -> None:
        with self.lock:
            self.in_flight += 1
            self.seen.append(self.in_flight)
            early = len(self.seen) <= WINDOW
        try:
            if early:
                self.together.wait(30)
                raise ThrottledError("too many requests")
        finally:
            with self.lock:
                self.in_flight -= 1


def test_a_throttled_window_shrinks_to_one_request_and_grows_with_success(waits: Waits) -> None:
    index = Busy()
    settled = list(upsert_rows(cast(Index, index), batches(20), waits.patience()))
    assert ids(settled) == numbered(100)
    assert index.seen[WINDOW] == 1
    assert max(index.seen[WINDOW : WINDOW + 2]) <= 2
    assert len(index.seen) == 20 + WINDOW
    assert [note for note in waits.notes if "asks for fewer" in note] == [
        "index busy asks for fewer requests: at most 1 at once for now"
    ]


def test_rows_whose_acknowledgement_was_lost_are_there_once(
    server: PineconeServer, index: PineconeIndex, waits: Waits
) -> None:
    server.faults.push("upsert", 503, times=10, headers=AT_ONCE, after=True)
    settled = list(upsert_rows(index, batches(4), waits.patience()))
    assert ids(settled) == numbered(20)
    assert held(server) == set(numbered(20))


def test_after_an_outage_longer_than_patience_what_was_yielded_is_there(
    server: PineconeServer, index: PineconeIndex, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Patience is measured by the pauses alone, so that a slow machine changes nothing.
    monkeypatch.setattr("tenacity.time", SimpleNamespace(monotonic=lambda: waits.paused_for))
    results = upsert_rows(index, batches(40), waits.patience(seconds=20))
    settled = [next(results)]
    server.faults.push("upsert", 503, times=None, headers=AT_ONCE)
    with pytest.raises(TransientError, match="503"):
        settled.extend(results)
    done = ids(settled)
    assert 0 < len(done) < 200
    assert done == numbered(len(done))
    assert set(done) <= held(server)
    assert waits.paused_for >= 20
    server.faults.clear()
    rest = [rows(start, start + 5) for start in range(len(done), 200, 5)]
    assert done + ids(list(upsert_rows(index, rest, waits.patience()))) == numbered(200)
    assert held(server) == set(numbered(200))


def test_a_stop_ends_a_pause_and_sends_nothing_more(server: PineconeServer, index: PineconeIndex, waits: Waits) -> None:
    server.faults.push("upsert", 503, times=None, headers=AT_ONCE)
    patience = Patience(3600, waits.check, waits.pause_until_stopped, waits.notes.append)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: list(upsert_rows(index, batches(40), patience)))
        assert waits.paused.wait(30)
        waits.stop.set()
        with pytest.raises(StoppedError):
            running.result(30)
    assert held(server) == set()
    assert len(waits.notes) <= WINDOW, "each request in flight was tried once"


# Failures that no wait helps against.


def test_denied_access_stops_at_once(server: PineconeServer, index: PineconeIndex, waits: Waits) -> None:
    server.faults.push("upsert", 403, times=None, body={"code": 7, "message": "no rights"})
    with pytest.raises(AccessDeniedError, match="no rights"):
        list(upsert_rows(index, batches(40), waits.patience()))
    assert server.log.count("upsert") <= 2 * WINDOW
    assert (held(server), waits.notes) == (set(), [])


def test_a_failure_ends_the_waits_of_the_other_requests(
    server: PineconeServer, index: PineconeIndex, waits: Waits
) -> None:
    server.faults.push("upsert", 503, times=30, headers=AT_ONCE)
    server.faults.push("upsert", 403, body={"code": 7, "message": "no rights"})
    server.faults.push("upsert", 503, times=None, headers=AT_ONCE)
    with pytest.raises(AccessDeniedError, match="no rights"):
        list(upsert_rows(index, batches(40), waits.patience(seconds=3600)))
    assert held(server) == set()


def test_an_error_of_the_batches_reaches_the_caller(index: PineconeIndex, waits: Waits) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield rows(0, 5)
        raise OSError("the part can't be read")

    with pytest.raises(OSError, match="the part can't be read"):
        list(upsert_rows(index, broken(), waits.patience()))


# Bad rows.


@pytest.mark.parametrize("bad", [0, 37, 63])
def test_one_bad_row_is_found_by_bisection_and_the_rest_lands(
    server: PineconeServer, index: PineconeIndex, waits: Waits, bad: int
) -> None:
    settled = list(upsert_rows(index, [rows(0, 64, frozenset({bad}))], waits.patience()))
    assert ids(settled) == numbered(64)
    assert set(refused(settled)) == {str(bad)}
    assert refused(settled)[str(bad)].startswith("metadata size is 41")
    assert held(server) == set(numbered(64)) - {str(bad)}
    assert server.log.count("upsert", status=400) == 7  # requests of 64, 32, 16, 8, 4, 2 and 1 rows
    assert server.log.count("upsert", status=200) == 6
    assert waits.notes == []


@settings(max_examples=40, deadline=None)
@given(bad=st.frozensets(st.integers(0, 22), max_size=8), size=st.integers(1, 23))
def test_any_bad_rows_are_named_and_all_others_land(
    module_server: PineconeServer, bad: frozenset[int], size: int
) -> None:
    cuts = [(start, min(start + size, 23)) for start in range(0, 23, size)]
    # A request whose rows are all refused for one reason is the next test's.
    assume(not any(stop - start > 1 and set(range(start, stop)) <= bad for start, stop in cuts))
    namespace = f"n-{size}-{'-'.join(map(str, sorted(bad)))}"
    index = created(module_server, namespace)
    settled = list(upsert_rows(index, [rows(*cut, bad) for cut in cuts], Waits().patience()))
    index.close()
    assert ids(settled) == numbered(23)
    assert set(refused(settled)) == {str(n) for n in bad}
    assert held(module_server, namespace) == set(numbered(23)) - {str(n) for n in bad}


def test_a_request_refused_row_by_row_for_one_reason_is_no_matter_of_rows(
    server: PineconeServer, index: PineconeIndex, waits: Waits
) -> None:
    server.faults.push("upsert", 400, times=None, body={"code": 3, "message": "namespace is not right"})
    with pytest.raises(TerminalError, match="index things refused every row of a request: namespace is not right"):
        list(upsert_rows(index, [rows(0, 60)], waits.patience()))


def test_a_few_rows_refused_for_one_reason_are_rejected_rows(
    server: PineconeServer, index: PineconeIndex, waits: Waits
) -> None:
    server.faults.push("upsert", 400, times=None, body={"code": 3, "message": "odd"})
    [settled] = upsert_rows(index, [rows(0, 2)], waits.patience())
    assert {at: "odd" in words for at, words in settled.refused.items()} == {0: True, 1: True}


@pytest.mark.parametrize("oversize", ["413", "400"])
def test_a_request_that_is_too_large_is_split_until_it_passes(
    server: PineconeServer, index: PineconeIndex, waits: Waits, oversize: str
) -> None:
    server.settings.max_body, server.settings.oversize = 1500, oversize  # type: ignore[assignment]  # one of the two
    settled = list(upsert_rows(index, [rows(0, 100)], waits.patience()))
    assert (ids(settled), refused(settled)) == (numbered(100), {})
    assert held(server) == set(numbered(100))
    assert server.log.count("upsert", status=int(oversize)) > 0
    assert all(entry.bytes <= 1500 for entry in server.log.entries if entry.status == 200)


def test_a_single_row_that_is_too_large_is_refused_and_the_rest_lands(
    server: PineconeServer, index: PineconeIndex, waits: Waits
) -> None:
    server.settings.max_body = 30_000
    settled = list(upsert_rows(index, [rows(0, 8, frozenset({5}))], waits.patience()))
    assert set(refused(settled)) == {"5"}
    assert "413" in refused(settled)["5"]
    assert held(server) == set(numbered(8)) - {"5"}


def test_the_embedded_index_loses_only_the_bad_row_too(tmp_path: Path, waits: Waits) -> None:
    index = LanceIndex(LanceSettings(), tmp_path / "things", "things", "n", 2)
    values = [[1.0, float("nan") if n == 6 else float(n)] for n in range(9)]
    settled = list(upsert_rows(index, [batch(numbered(9), values)], waits.patience()))
    assert refused(settled) == {"6": "values must be finite numbers"}
    assert sorted(id for page in index.list_ids() for id in page) == [id for id in numbered(9) if id != "6"]
