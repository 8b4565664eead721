"""A request to Pinecone is sent once and in time; the engine alone repeats it, each time after its check."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from pinery.errors import LeaseLostError, ThrottledError, TransientError
from pinery.indexes import pinecone_transport
from pinery.indexes.attempt import attempt
from pinery.indexes.engine import LONGEST_RETRY_AFTER, Patience, ask, upsert_rows, with_patience
from pinery.indexes.pinecone import PineconeIndex
from pinery.indexes.pinecone_transport import PIECE_BYTES, LateError, OnceTransport
from pinery.records import Identity
from pinery.target_settings import PineconeSettings
from tests.indexes.rows import batch, settle
from tests.pinecone_server import PineconeServer

IDENTITY = Identity("state", "inc", "model")
ROWS = batch(["a", "b"], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
DATA: dict[str, Callable[[PineconeIndex], object]] = {
    "upsert": lambda index: index.upsert(ROWS),
    "delete": lambda index: index.delete(["a"]),
    "delete_namespace": lambda index: index.drop(),
    "fetch": lambda index: index.fetch(["a"]),
    "list": lambda index: next(index.list_ids()),
    "query": lambda index: index.query([1.0, 0.0, 0.0], 1),
    "stats": lambda index: index.count(),
    "describe_namespace": lambda index: index.imports.possible(),
    "start_import": lambda index: index.imports.start("s3://bucket/folder"),
    "list_imports": lambda index: index.imports.find("s3://bucket/folder"),
    "describe_import": lambda index: index.imports.state("1"),
}
CONTROL: dict[str, Callable[[PineconeIndex], object]] = {
    "describe_index": lambda index: index.describe(),
    "configure_index": lambda index: index.leave_mark("1-a"),
    "delete_index": lambda index: index.discard(),
}


def made(transport: str = "rest", **settings: float) -> PineconeIndex:
    kind = PineconeSettings.model_validate({"kind": "pinecone", "transport": transport})
    index = PineconeIndex(kind, "things", "n", 3, **settings)  # type: ignore[arg-type]  # numbers that it takes
    index.ensure(IDENTITY)
    index.upsert(ROWS)
    settle(index, 30)
    return index


@pytest.fixture
def index(server: PineconeServer) -> PineconeIndex:
    return made()


@dataclass
class Asked:
    """The engine's calls to the run's owner: checks, pauses, and attempts begun and ended."""

    checks: int = 0
    pauses: list[float] = field(default_factory=list)
    begun: int = 0
    ended: int = 0
    checks_until_lost: int = 1000

    def check(self) -> None:
        self.checks += 1
        if self.checks > self.checks_until_lost:
            raise LeaseLostError("another run took over")

    @contextmanager
    def request(self) -> Iterator[None]:
        self.begun += 1
        try:
            yield
        finally:
            self.ended += 1

    def patience(self) -> Patience:
        return Patience(60, self.check, self.pauses.append, lambda text: None, self.request)


@pytest.mark.parametrize("op", [*DATA, *CONTROL])
@pytest.mark.parametrize("status", [503, 429])
def test_no_request_is_repeated_beneath_the_engine(
    server: PineconeServer, index: PineconeIndex, op: str, status: int
) -> None:
    server.log.clear()
    server.faults.push(op, status, times=None, headers={"Retry-After": "1"})
    with pytest.raises(TransientError) as caught:
        (DATA | CONTROL)[op](index)
    assert server.log.count(op) == 1
    assert caught.value.retry_after == 1
    assert not caught.value.unanswered


@pytest.mark.parametrize("op", DATA)
def test_nor_is_one_whose_connection_broke(server: PineconeServer, index: PineconeIndex, op: str) -> None:
    server.log.clear()
    server.faults.reset_before(op, times=None)
    with pytest.raises(TransientError) as caught:
        DATA[op](index)
    assert server.log.count(op) == 1
    assert caught.value.unanswered, "it may have been carried out"


@pytest.mark.parametrize("status", [503, 429])
def test_nor_over_grpc(pinecone_server: PineconeServer, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    pinecone_server.settings.grpc = True
    for name, value in pinecone_server.environment.items():
        monkeypatch.setenv(name, value)
    index = made("grpc")
    pinecone_server.log.clear()
    pinecone_server.faults.push("upsert", status, times=None)
    with pytest.raises(TransientError):
        index.upsert(ROWS)
    assert pinecone_server.log.count("upsert") == 1


@pytest.mark.parametrize("status", [503, 429])
@pytest.mark.parametrize(("asked", "least"), [("7", 7.0), ("86400", LONGEST_RETRY_AFTER), ("soon", 0.0), ("-1", 0.0)])
def test_the_engine_waits_as_long_as_it_is_asked_to_within_bounds(
    server: PineconeServer, index: PineconeIndex, status: int, asked: str, least: float
) -> None:
    run = Asked()
    server.log.clear()
    server.faults.push("upsert", status, times=2, headers={"Retry-After": asked})
    list(upsert_rows(index, [ROWS], run.patience()))
    assert (server.log.count("upsert"), run.begun, run.ended) == (3, 3, 3)
    assert run.checks >= 3
    assert len(run.pauses) == 2
    assert all(least <= pause <= max(1.25 * least, 30) for pause in run.pauses)


def test_nothing_is_sent_once_the_check_fails(server: PineconeServer, index: PineconeIndex) -> None:
    server.log.clear()
    server.faults.push("*", 503, times=None)
    with pytest.raises(LeaseLostError):
        list(upsert_rows(index, [ROWS], Asked(checks_until_lost=1).patience()))
    with pytest.raises(LeaseLostError):
        with_patience(lambda: index.delete(["a"]), "delete", Asked(checks_until_lost=1).patience())
    assert (server.log.count("upsert"), server.log.count("delete")) == (1, 1)


def test_a_read_outside_of_a_run_outlasts_a_fault(server: PineconeServer, index: PineconeIndex) -> None:
    server.faults.push("query", 503, times=2)
    assert ask(lambda: index.query([1.0, 0.0, 0.0], 1), "index things")[0].id == "a"


def test_a_signal_waits_for_the_end_of_the_request_in_flight(server: PineconeServer, index: PineconeIndex) -> None:
    run, gate = Asked(), server.faults.block("delete")

    def interrupt() -> None:
        assert gate.arrived.wait(30)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)  # for the signal to be acted on, were it so
        still_in_flight.append(run.begun - run.ended)
        gate.release()

    still_in_flight: list[int] = []
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        with_patience(lambda: index.delete(["a"]), "delete", run.patience())
    thread.join()
    assert still_in_flight == [1]
    assert (run.begun, run.ended) == (1, 1)
    settle(index, 30)
    assert index.fetch(["a"]) == {}


def test_a_signal_during_the_start_of_a_request_waits_for_its_end_too() -> None:
    def request() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.002)  # the main thread may still be at the start of this one

    for _ in range(100):
        run = Asked()
        with pytest.raises(KeyboardInterrupt):
            with_patience(request, "upsert", run.patience())
        assert run.begun == run.ended


# In time.


def test_what_would_be_sent_late_is_not_sent(server: PineconeServer, index: PineconeIndex) -> None:
    hasty = PineconeIndex(PineconeSettings(kind="pinecone"), "things", "n", 3, request_timeout=1.5)
    hasty.upsert(ROWS)
    server.log.clear()
    with attempt():
        time.sleep(0.6)  # as a process that is stopped between its check and the sending
        with pytest.raises(ThrottledError, match=r"not be sent in time; .*upsert\.request_timeout is 1\.5 s"):
            hasty.upsert(ROWS)
    assert server.log.count("upsert") == 0


def test_an_answer_is_not_waited_for_beyond_the_life_of_the_request(server: PineconeServer) -> None:
    index = made(request_timeout=1.0)
    gate, began = server.faults.block("upsert"), time.monotonic()
    with pytest.raises(TransientError) as caught:
        index.upsert(ROWS)
    gate.release()
    assert 0.4 < time.monotonic() - began < 10
    assert caught.value.unanswered


def test_a_body_goes_out_in_pieces_and_stops_once_it_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [100.0]
    monkeypatch.setattr(pinecone_transport, "boottime", lambda: moment[0])
    monkeypatch.setattr(pinecone_transport, "began", lambda: 100.0)
    body = os.urandom(3 * PIECE_BYTES + 7)
    seen: list[bytes] = []

    def take(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        for piece in request.stream:  # type: ignore[union-attr]  # the guarded stream is a synchronous one
            seen.append(piece)
            moment[0] += step[0]
        return httpx.Response(200)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", take)
    transport, step = OnceTransport(2, 60.0), [1.0]
    transport.handle_request(httpx.Request("POST", "http://index/vectors/upsert", content=body))
    assert b"".join(seen) == body
    assert max(map(len, seen)) == PIECE_BYTES
    moment[0], step[0] = 100.0, 15.0
    seen.clear()
    with pytest.raises(LateError):
        transport.handle_request(httpx.Request("POST", "http://index/vectors/upsert", content=body))
    assert len(seen) == 2, "at 100 and 115 s, not at 130"


# Errors 429 that are final.


@pytest.mark.parametrize("namespace", ["products-month", "monthly", "this month", "current-month", "n"])
@pytest.mark.parametrize(
    "words",
    [
        "You've reached the max upsert rate of 100 requests per second for namespace {}. Pace your requests.",
        "Too many requests for namespace {} per second",
    ],
)
def test_a_limit_per_second_is_never_final(
    server: PineconeServer, index: PineconeIndex, namespace: str, words: str
) -> None:
    server.faults.push("upsert", 429, times=None, body={"code": 8, "message": words.format(namespace)})
    with pytest.raises(ThrottledError):
        index.upsert(ROWS)
