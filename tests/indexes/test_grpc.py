"""Upserts over gRPC land as over REST: the same rows, the same errors, and writes that `settle` waits for."""

import numpy as np
import pytest

from pinery.errors import (
    ConfigError,
    RequestTooLargeError,
    RowsRefusedError,
    TerminalError,
    ThrottledError,
    TransientError,
)
from pinery.indexes.engine import Patience, upsert_rows
from pinery.indexes.pinecone import PineconeIndex
from pinery.records import Identity
from pinery.target_settings import PineconeSettings
from tests.indexes.rows import batch, settle
from tests.pinecone_server import PineconeServer

DIMENSION = 64
PATIENCE = Patience(60, lambda: None, lambda seconds: None, lambda text: None)


@pytest.fixture
def server(pinecone_server: PineconeServer, monkeypatch: pytest.MonkeyPatch) -> PineconeServer:
    pinecone_server.settings.grpc = True
    for name, value in pinecone_server.environment.items():
        monkeypatch.setenv(name, value)
    return pinecone_server


def made(transport: str = "grpc", namespace: str = "n") -> PineconeIndex:
    settings = PineconeSettings.model_validate({"kind": "pinecone", "transport": transport})
    index = PineconeIndex(settings, "things", namespace, DIMENSION)
    index.ensure(Identity("state", "inc", "model"))
    return index


@pytest.fixture
def index(server: PineconeServer) -> PineconeIndex:
    return made()


def vectors(count: int) -> list[list[float]]:
    return np.random.default_rng(0).standard_normal((count, DIMENSION)).astype(np.float32).tolist()


def test_a_server_without_tls_needs_a_word_before_it_is_dialled(
    index: PineconeIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PINECONE_GRPC_SCHEME")
    with pytest.raises(ConfigError, match=r"without TLS.*PINECONE_GRPC_SCHEME=http"):
        index.upsert(batch(["a"], vectors(1), [{}]))


def test_rows_land_exactly_as_over_rest_in_fewer_bytes(server: PineconeServer, index: PineconeIndex) -> None:
    rest = made("rest", "r")
    metadata = [{"label": "ä", "n": at, "yes": True, "tags": ["a"]} for at in range(300)]
    rows = batch([str(at) for at in range(300)], vectors(300), metadata)
    for one in (rest, index):
        server.log.clear()
        assert sum(len(settled.refused) for settled in upsert_rows(one, [rows], PATIENCE)) == 0
        one.sent = sum(entry.bytes for entry in server.log.entries if entry.op == "upsert")  # type: ignore[attr-defined]
        settle(one, 10)
    ids = [str(at) for at in range(300)]
    assert index.fetch(ids) == rest.fetch(ids)
    assert rest.sent > 2 * index.sent  # type: ignore[attr-defined]  # 64 values beside as much metadata


def test_settle_waits_for_what_went_over_grpc_with_one_rest_write(server: PineconeServer, index: PineconeIndex) -> None:
    server.hold()
    index.upsert(batch(["a", "b"], vectors(2)))
    with pytest.raises(TransientError, match=r"after 0\.2 s writes are visible up to LSN"):
        settle(index, 0.2)
    server.release()
    settle(index, 10)
    assert index.count() == 2
    upserts = [entry.records for entry in server.log.entries if entry.op == "upsert"]
    assert upserts == [2, 1], "the last row once more, over REST, for its number"


def test_a_row_that_was_deleted_since_is_not_written_again(server: PineconeServer, index: PineconeIndex) -> None:
    index.upsert(batch(["a", "b"], vectors(2)))
    index.delete(["b"])
    settle(index, 10)
    assert list(index.list_ids()) == [["a"]]


@pytest.mark.parametrize(
    ("status", "expected"),
    [(429, ThrottledError), (503, TransientError), (500, TransientError)],
)
def test_faults_are_told_apart_as_over_rest(
    server: PineconeServer, index: PineconeIndex, status: int, expected: type[Exception]
) -> None:
    server.faults.push("upsert", status, times=None)
    with pytest.raises(expected):
        index.upsert(batch(["a"], vectors(1)))


def test_a_used_up_month_is_final(server: PineconeServer, index: PineconeIndex) -> None:
    server.settings.month_write_units = 0
    with pytest.raises(TerminalError, match="the monthly quota is used up"):
        index.upsert(batch(["a"], vectors(1)))


def test_bad_rows_are_refused_by_their_own_words_and_the_rest_lands(
    server: PineconeServer, index: PineconeIndex
) -> None:
    metadata = [{"n": at, "x": "x" * (41_000 if at == 3 else 1)} for at in range(8)]
    rows = batch([str(at) for at in range(8)], vectors(8), metadata)
    with pytest.raises(RowsRefusedError, match="metadata size"):
        index.upsert(rows)
    [settled] = upsert_rows(index, [rows], PATIENCE)
    assert list(settled.refused) == [3]
    settle(index, 10)
    assert index.count() == 7


def test_a_request_that_is_too_large_is_told_so(server: PineconeServer, index: PineconeIndex) -> None:
    server.settings.max_body = 1000
    with pytest.raises(RequestTooLargeError):
        index.upsert(batch([str(at) for at in range(50)], vectors(50)))
