"""The local Pinecone over gRPC, asked through the real SDK, beside the same index over REST."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pinecone
import pytest

from tests.pinecone_server import PineconeServer
from tests.pinecone_server.client import GOOD, NEW, create, rows
from tests.pinecone_server.fixtures import isolated_server, prompt


@pytest.fixture
def server() -> Iterator[PineconeServer]:
    started = isolated_server(prompt())
    started.settings.grpc = True
    yield started
    started.stop()


@pytest.fixture
def client(server: PineconeServer, monkeypatch: pytest.MonkeyPatch) -> pinecone.Pinecone:
    """A client that is made from the environment alone."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return pinecone.Pinecone(retry_config=pinecone.RetryConfig(max_retries=3, backoff_factor=0.05, max_wait=0.1))


def opened(client: pinecone.Pinecone, name: str, **options: Any) -> tuple[Any, Any]:
    """One new index over gRPC and over REST, by the one host that `describe` tells."""
    rest = create(client, name, **options)
    return client.index(host=client.indexes.describe(name).host, grpc=True), rest


def statuses(server: PineconeServer) -> list[int]:
    return [entry.status for entry in server.log.entries if entry.op == "upsert" and entry.protocol == "grpc"]


def test_what_is_written_over_grpc_is_read_over_rest_and_the_other_way(
    server: PineconeServer, client: pinecone.Pinecone
) -> None:
    grpc, rest = opened(client, "both")
    exact = np.array([0.1, -2.5e-8, 3e30], np.float32)
    grpc.upsert(vectors=[("a", exact, {"kind": "fox", "legs": 4, "tame": False, "tags": ["x", "y"]})], namespace="n/1")
    found = rest.fetch(ids=["a"], namespace="n/1").vectors["a"]
    assert np.array_equal(np.array(found.values, np.float32), exact)
    assert found.metadata == {"kind": "fox", "legs": 4.0, "tame": False, "tags": ["x", "y"]}
    rest.upsert(vectors=rows("b", "c"), namespace="n/1")
    assert list(grpc.fetch(ids=["c"], namespace="n/1").vectors["c"].values) == [1.0, 1.0, 0.5]
    upserts = [entry for entry in server.log.entries if entry.op == "upsert"]
    assert [(entry.protocol, entry.records, entry.namespace) for entry in upserts] == [
        ("grpc", 1, "n/1"),
        ("rest", 2, "n/1"),
    ]
    assert server.log.upserts("both", "n/1") == {"a": 1, "b": 1, "c": 1}


def test_every_operation_of_the_sdk(client: pinecone.Pinecone) -> None:
    index, _ = opened(client, "operations")
    assert index.upsert(vectors=rows(*"abcde"), namespace="n").upserted_count == 5
    found = index.query(vector=[1.0, 4.0, 0.5], top_k=2, namespace="n", include_values=True, include_metadata=True)
    assert [(match.id, match.metadata["row"], list(match.values)) for match in found.matches] == [
        ("e", 4.0, [1.0, 4.0, 0.5]),
        ("d", 3.0, [1.0, 3.0, 0.5]),
    ]
    matches = index.query(id="a", top_k=9, namespace="n", filter={"row": {"$gte": 3}}).matches
    assert {match.id for match in matches} == {"d", "e"}
    assert set(index.fetch_by_metadata(filter={"row": {"$lt": 2}}, namespace="n").vectors) == {"a", "b"}
    index.update(id="a", values=[9.0, 9.0, 9.0], set_metadata={"new": "x"}, namespace="n")
    updated = index.fetch(ids=["a"], namespace="n").vectors["a"]
    assert (list(updated.values), updated.metadata) == ([9.0, 9.0, 9.0], {"row": 0.0, "id": "a", "new": "x"})
    pages = [[item.id for item in page.vectors] for page in index.list(namespace="n", limit=2)]
    assert pages == [["a", "b"], ["c", "d"], ["e"]]
    index.delete(ids=["a", "b"], namespace="n")
    index.delete(filter={"row": 2}, namespace="n")
    stats = index.describe_index_stats()
    assert (stats.dimension, stats.total_vector_count, stats.namespaces["n"].vector_count) == (3, 2, 2)
    index.create_namespace(name="made")
    assert index.describe_namespace(name="n").record_count == 2
    assert [space.name for space in index.list_namespaces_paginated().namespaces] == ["made", "n"]
    index.delete_namespace(name="n")
    with pytest.raises(pinecone.NotFoundError, match="Namespace not found"):
        index.delete(ids=["a"], namespace="n")


def test_batches_go_over_grpc_too(server: PineconeServer, client: pinecone.Pinecone) -> None:
    index, _ = opened(client, "batches", dimension=8)
    vectors = [(str(n), vector) for n, vector in enumerate(np.random.default_rng(0).normal(size=(500, 8)))]
    response = index.upsert(vectors=vectors, batch_size=50, max_concurrency=4, show_progress=False)
    assert (response.upserted_count, response.failed_batch_count) == (500, 0)
    assert statuses(server) == 10 * [200]
    assert len(server.data("batches").records("")) == 500


def test_each_index_is_on_a_port_of_its_own(server: PineconeServer, client: pinecone.Pinecone) -> None:
    one, _ = opened(client, "one")
    other, _ = opened(client, "other")
    one.upsert(vectors=rows("a"))
    assert server.data("other").records("") == {}
    other.upsert(vectors=rows("b"))
    assert set(server.data("one").records("")) == {"a"}
    host = client.indexes.describe("one").host
    client.indexes.delete("one")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{host}/vectors/list", headers=NEW)
    assert client.indexes.describe("other").status.ready


def test_the_port_serves_rest_and_survives_an_outage(server: PineconeServer, client: pinecone.Pinecone) -> None:
    index, _ = opened(client, "again")
    index.upsert(vectors=rows("a"))
    host = client.indexes.describe("again").host
    server.stop()
    with pytest.raises(pinecone.PineconeError):
        index.upsert(vectors=rows("b"), timeout=1.0)
    server.start()
    assert client.indexes.describe("again").host == host
    assert httpx.post(f"{host}/vectors/upsert", headers=NEW, json={"vectors": [GOOD]}).json() == {"upsertedCount": 1}
    assert index.upsert(vectors=rows("b")).upserted_count == 1
    assert set(server.data("again").records("")) == {"a", "b"}


# Refused requests.


@pytest.mark.parametrize(
    ("vectors", "text"),
    [
        ([("a", [1.0, 2.0])], "Vector dimension 2 does not match the dimension of the index 3"),
        ([("a", [0.0, 0.0, 0.0])], "at least one non-zero value"),
        ([("a", [1.0, float("nan"), 0.0])], "finite"),
        ([("a" * 513, [1.0, 0.0, 0.0])], "512"),
        ([("a", [1.0, 0.0, 0.0], {"x": "y" * 41_000})], "exceeds the limit of 40960 bytes"),
        ([("a", [1.0, 0.0, 0.0], {"$x": 1})], "may not start with"),
        ([(str(n), [1.0, 0.0, 0.0]) for n in range(1001)], "Request contains 1001 vectors, the limit is 1000"),
        (
            [{"id": "a", "values": [1.0, 0.0, 0.0], "sparse_values": {"indices": [1], "values": [1.0]}}],
            "does not support sparse values",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_the_limits_are_those_of_rest(
    server: PineconeServer, client: pinecone.Pinecone, vectors: list[Any], text: str
) -> None:
    index, _ = opened(client, "limits")
    with pytest.raises(pinecone.ApiError, match=text) as caught:
        index.upsert(vectors=vectors)
    assert caught.value.status_code == 400
    assert server.data("limits").records("") == {}
    assert statuses(server) == [400]


def test_a_message_over_two_megabytes_is_out_of_range(server: PineconeServer, client: pinecone.Pinecone) -> None:
    index, _ = opened(client, "large")
    large = [(str(n), [1.0, 0.0, 0.0], {"x": "y" * 40_000}) for n in range(51)]
    with pytest.raises(
        pinecone.PineconeError, match=r"message length too large: found \d+ bytes, the limit is: 2000000"
    ):
        index.upsert(vectors=large)
    assert index.upsert(vectors=large[:49]).upserted_count == 49


def test_the_key_is_checked(server: PineconeServer, client: pinecone.Pinecone) -> None:
    index, _ = opened(client, "keyed")
    server.settings.api_key = "another"
    with pytest.raises(pinecone.UnauthorizedError, match="Invalid API Key"):
        index.upsert(vectors=rows("a"))


def test_what_is_no_upsert_is_no_bug_here(server: PineconeServer, client: pinecone.Pinecone) -> None:
    import grpc

    opened(client, "garbage")
    target = client.indexes.describe("garbage").host.removeprefix("http://")
    with grpc.insecure_channel(target) as channel:
        for method, code in (("Upsert", grpc.StatusCode.INVALID_ARGUMENT), ("Dance", grpc.StatusCode.UNIMPLEMENTED)):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(f"/VectorService/{method}")(b"\xff\xff", metadata=(("api-key", "x"),), timeout=10)
            assert caught.value.code() is code


def test_http2_at_the_control_plane_is_no_crash(server: PineconeServer) -> None:
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert b"HTTP" in connection.recv(4096)
    assert httpx.get(f"{server.url}/indexes", headers=NEW).status_code == 200


# Faults.


@pytest.mark.parametrize("status", [429, 503])
def test_the_sdk_retries_what_is_exhausted_or_unavailable(
    server: PineconeServer, client: pinecone.Pinecone, status: int
) -> None:
    index, _ = opened(client, "retried")
    server.faults.push("upsert", status)
    assert index.upsert(vectors=rows("a")).upserted_count == 1
    assert statuses(server) == [status, 200]


def test_a_pause_that_is_asked_for_is_kept(server: PineconeServer, client: pinecone.Pinecone) -> None:
    index, _ = opened(pinecone.Pinecone(), "paused")
    server.faults.push("upsert", 429, headers={"Retry-After": "1"})
    began = time.monotonic()
    index.upsert(vectors=rows("a"))
    assert time.monotonic() - began >= 1
    assert statuses(server) == [429, 200]


def test_a_broken_connection_is_unavailable_before_or_after_the_effect(
    server: PineconeServer, client: pinecone.Pinecone
) -> None:
    index, _ = opened(client, "broken")
    server.faults.reset_before("upsert")
    assert index.upsert(vectors=rows("a")).upserted_count == 1
    assert server.log.upserts("broken") == {"a": 1}
    server.faults.reset_after("upsert")
    assert index.upsert(vectors=rows("b")).upserted_count == 1
    assert server.log.upserts("broken") == {"a": 1, "b": 2}
    assert statuses(server) == [0, 200, 0, 200]


def test_a_server_error_is_not_retried(server: PineconeServer, client: pinecone.Pinecone) -> None:
    index, _ = opened(client, "failed")
    server.faults.push("upsert", 500)
    with pytest.raises(pinecone.ServiceError, match="injected fault: 500"):
        index.upsert(vectors=rows("a"))
    assert statuses(server) == [500]


def test_plans_and_outages_apply(server: PineconeServer, client: pinecone.Pinecone) -> None:
    index, _ = opened(client, "planned")
    server.faults.plan(3, 0.3, ["429", "503", "reset-before", "reset-after"])
    for number in range(15):
        assert index.upsert(vectors=rows(str(number))).upserted_count == 1
    found = statuses(server)
    assert found.count(200) == 15
    assert {429, 503, 0} & set(found)
    server.faults.clear()
    server.faults.outage(0.1)
    assert index.upsert(vectors=rows("last")).upserted_count == 1
    assert len(server.data("planned").records("")) == 16
