"""The local Pinecone, asked through the real SDK; what the SDK can't send goes by plain HTTP."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pinecone
import pytest
from pinecone.errors import PayloadTooLargeError

from tests.pinecone_server import PineconeServer
from tests.pinecone_server.client import GOOD, NEW, OLD, connect, create, raw_upsert, rows
from tests.pinecone_server.faults import KINDS
from tests.pinecone_server.fixtures import isolated_server, pinecone_environment, prompt
from tests.pinecone_server.fixtures import prompt_server as pinecone_server

__all__ = ["pinecone_environment", "pinecone_server"]

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def shared() -> Iterator[PineconeServer]:
    """One server for tests that change none of its settings; each uses its own index."""
    server = isolated_server(prompt())
    yield server
    server.stop()


@pytest.fixture(scope="module")
def client(shared: PineconeServer) -> pinecone.Pinecone:
    return connect(shared)


def refusal(server: PineconeServer, name: str, vector: dict[str, Any]) -> str:
    response = raw_upsert(server, name, vector)
    assert response.status_code == 400, response.text
    assert response.json()["code"] == 3
    return str(response.json()["message"])


# The control plane.


def test_an_index_is_created_described_listed_configured_and_deleted(client: pinecone.Pinecone) -> None:
    create(client, "life", tags={"a": "1", "b": "2"})
    found = client.indexes.describe("life")
    assert (found.dimension, found.metric, found.tags, found.status.ready) == (3, "cosine", {"a": "1", "b": "2"}, True)
    assert "life" in client.list_indexes().names()
    client.indexes.configure("life", tags={"a": "", "c": "3"}, deletion_protection="enabled")
    found = client.indexes.describe("life")
    assert (found.tags, found.deletion_protection) == ({"b": "2", "c": "3"}, "enabled")
    with pytest.raises(pinecone.ForbiddenError, match="Deletion protection is enabled"):
        client.indexes.delete("life")
    client.indexes.configure("life", deletion_protection="disabled")
    client.indexes.delete("life")
    assert not client.indexes.exists("life")


def test_a_second_index_of_one_name_and_an_unknown_region_are_refused(client: pinecone.Pinecone) -> None:
    create(client, "twice")
    with pytest.raises(pinecone.ConflictError):
        create(client, "twice")
    with pytest.raises(pinecone.NotFoundError, match="mars-1"):
        client.indexes.create(name="far", dimension=3, spec=pinecone.ServerlessSpec(cloud="aws", region="mars-1"))


@pytest.mark.parametrize(
    "change", [{"name": "Upper"}, {"name": "-a"}, {"name": "a" * 46}, {"dimension": 0}, {"metric": "l1"}]
)
def test_an_invalid_create_is_refused(shared: PineconeServer, change: dict[str, Any]) -> None:
    body = {
        "name": "fine",
        "dimension": 3,
        "metric": "cosine",
        "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}},
    }
    response = httpx.post(f"{shared.url}/indexes", headers=OLD, json=body | change)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_ARGUMENT")


def test_the_older_shape_is_read_and_written_for_older_clients(shared: PineconeServer) -> None:
    spec = {"serverless": {"cloud": "gcp", "region": "us-central1"}}
    body = {"name": "old-shape", "dimension": 4, "metric": "euclidean", "spec": spec}
    created = httpx.post(f"{shared.url}/indexes", headers=OLD, json=body)
    assert created.status_code == 201
    old = httpx.get(f"{shared.url}/indexes/old-shape", headers=OLD).json()
    assert (old["dimension"], old["metric"], old["spec"], old["vector_type"]) == (4, "euclidean", spec, "dense")
    new = httpx.get(f"{shared.url}/indexes/old-shape", headers=NEW).json()
    assert new["schema"] == {"fields": {"_values": {"type": "dense_vector", "dimension": 4, "metric": "euclidean"}}}
    assert new["deployment"] == {"deployment_type": "managed", "cloud": "gcp", "region": "us-central1"}
    assert "dimension" not in new


def test_the_read_capacity_is_told_as_each_version_has_it(shared: PineconeServer, client: pinecone.Pinecone) -> None:
    capacity = {"mode": "OnDemand", "status": {"state": "Ready"}}
    create(client, "capacity")

    def described(version: str) -> Any:
        headers = NEW | {"X-Pinecone-Api-Version": version}
        return httpx.get(f"{shared.url}/indexes/capacity", headers=headers).json()

    assert described("2025-10")["spec"]["serverless"]["read_capacity"] == capacity, "SDK 8 and 9 can't read it without"
    assert described("2025-04")["spec"]["serverless"] == {"cloud": "aws", "region": "us-east-1"}
    assert described("2026-07")["read_capacity"] == capacity
    assert type(client.indexes.describe("capacity").read_capacity).__name__ == "ReadCapacityOnDemandResponse"


def test_a_create_in_the_other_shape_is_refused(shared: PineconeServer) -> None:
    body = {"name": "mixed", "dimension": 4, "spec": {"serverless": {"cloud": "aws", "region": "us-east-1"}}}
    assert httpx.post(f"{shared.url}/indexes", headers=NEW, json=body).status_code == 400
    assert httpx.post(f"{shared.url}/indexes", headers=OLD, json={"name": "mixed", "schema": {}}).status_code == 422


def test_a_new_index_is_not_ready_at_once(pinecone_server: PineconeServer) -> None:
    pinecone_server.settings.ready_after = 3600
    client = connect(pinecone_server)
    client.indexes.create(name="slow", dimension=3, timeout=-1)
    status = client.indexes.describe("slow").status
    assert (status.ready, status.state) == (False, "Initializing")
    url = f"{pinecone_server.url}/ix/slow/describe_index_stats"
    assert httpx.post(url, headers=NEW, json={}).status_code == 503
    pinecone_server.make_ready("slow")
    assert client.indexes.describe("slow").status.ready
    assert httpx.post(url, headers=NEW, json={}).status_code == 200


def test_requests_without_the_right_key_are_refused_in_plain_text(pinecone_server: PineconeServer) -> None:
    response = httpx.get(f"{pinecone_server.url}/indexes")
    assert (response.status_code, response.headers["content-type"]) == (401, "text/plain")
    pinecone_server.settings.api_key = "the-key"
    with pytest.raises(pinecone.UnauthorizedError):
        connect(pinecone_server).list_indexes()
    assert pinecone.Pinecone(api_key="the-key", host=pinecone_server.url).list_indexes().names() == []


def test_the_environment_alone_points_the_sdk_here(pinecone_environment: PineconeServer) -> None:
    create(pinecone.Pinecone(), "by-environment")
    assert pinecone_environment.log.count("create_index") == 1


# The data plane.


def test_vectors_are_upserted_fetched_listed_counted_and_deleted(client: pinecone.Pinecone) -> None:
    index = create(client, "vectors")
    assert index.upsert(vectors=rows("a", "b", "c"), namespace="n").upserted_count == 3
    fetched = index.fetch(ids=["a", "c", "missing"], namespace="n").vectors
    assert set(fetched) == {"a", "c"}
    assert list(fetched["c"].values) == [1.0, 2.0, 0.5]
    assert fetched["c"].metadata == {"row": 2.0, "id": "c"}
    assert isinstance(fetched["c"].metadata["row"], float)
    assert [item.id for page in index.list(namespace="n") for item in page.vectors] == ["a", "b", "c"]
    index.upsert(vectors=rows("z"))
    stats = index.describe_index_stats()
    assert {name: space.vector_count for name, space in stats.namespaces.items()} == {"__default__": 1, "n": 3}
    assert (stats.total_vector_count, stats.dimension, stats.metric) == (4, 3, "cosine")
    index.delete(ids=["a", "never"], namespace="n")
    index.delete(filter={"row": {"$gte": 2}}, namespace="n")
    assert set(index.fetch(ids=["a", "b", "c"], namespace="n").vectors) == {"b"}
    index.delete(delete_all=True, namespace="n")
    assert list(index.list(namespace="n")) == []
    with pytest.raises(pinecone.NotFoundError, match="Namespace not found"):
        index.delete(ids=["a"], namespace="nowhere")


def test_reading_an_absent_namespace_finds_nothing(client: pinecone.Pinecone) -> None:
    index = create(client, "absent")
    assert index.query(vector=[1.0, 0, 0], top_k=3, namespace="no").matches == []
    assert index.fetch(ids=["a"], namespace="no").vectors == {}
    assert list(index.list(namespace="no")) == []


def test_odd_ids_and_namespaces_come_back_as_they_were(client: pinecone.Pinecone) -> None:
    index, space, ids = create(client, "odd"), "ns/with space&x", ["a/b c#?&", 'quote"\\', "100%"]
    index.upsert(vectors=rows(*ids), namespace=space)
    assert set(index.fetch(ids=ids, namespace=space).vectors) == set(ids)
    assert sorted(ids) == [item.id for page in index.list(namespace=space) for item in page.vectors]
    assert index.describe_namespace(name=space).record_count == 3


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("cosine", {"x": 1.0, "far": 1.0, "y": 0.0}),
        ("dotproduct", {"far": 10.0, "x": 2.0, "y": 0.0}),
        ("euclidean", {"x": 1.0, "y": 5.0, "far": 9.0}),
    ],
)
def test_scores_and_their_order(client: pinecone.Pinecone, metric: str, expected: dict[str, float]) -> None:
    index = create(client, f"metric-{metric}", dimension=2, metric=metric)
    index.upsert(vectors=[("x", [1.0, 0.0]), ("y", [0.0, 1.0]), ("far", [5.0, 0.0])])
    matches = index.query(vector=[2.0, 0.0], top_k=10).matches
    assert {match.id: match.score for match in matches} == pytest.approx(expected)
    assert [match.score for match in matches] == pytest.approx(list(expected.values()))


def test_a_query_goes_by_vector_or_id_and_returns_what_is_asked_for(client: pinecone.Pinecone) -> None:
    index = create(client, "query")
    index.upsert(vectors=rows("a", "b", "c"))
    (match,) = index.query(id="b", top_k=1, include_values=True, include_metadata=True).matches
    assert (match.id, list(match.values), match.metadata) == ("b", [1.0, 1.0, 0.5], {"row": 1.0, "id": "b"})
    (bare,) = index.query(vector=[1.0, 1.0, 0.5], top_k=1).matches
    assert bare.metadata is None
    assert not bare.values
    assert index.query(id="missing", top_k=1).matches == []
    assert [m.id for m in index.query(vector=[1.0, 0, 0], top_k=9, filter={"row": {"$gt": 0}}).matches] == ["b", "c"]


def test_ids_are_listed_in_pages_and_by_prefix(client: pinecone.Pinecone) -> None:
    index = create(client, "pages")
    index.upsert(vectors=rows(*(f"{kind}-{number:03}" for kind in "ab" for number in range(120))))
    pages = [len(page.vectors) for page in index.list()]
    assert pages == [100, 100, 40]
    assert [len(page.vectors) for page in index.list(prefix="b-", limit=50)] == [50, 50, 20]
    assert index.list_paginated(prefix="b-00", limit=100).pagination is None


def test_vectors_are_fetched_by_metadata_in_pages(client: pinecone.Pinecone) -> None:
    index = create(client, "by-metadata")
    index.upsert(vectors=rows(*"abcde"))
    first = index.fetch_by_metadata(filter={"row": {"$gte": 1}}, limit=3)
    assert set(first.vectors) == {"b", "c", "d"}
    second = index.fetch_by_metadata(filter={"row": {"$gte": 1}}, limit=3, pagination_token=first.pagination.next)
    assert set(second.vectors) == {"e"}
    assert second.pagination is None


def test_updates_merge_metadata_and_replace_values(client: pinecone.Pinecone) -> None:
    index = create(client, "updates")
    index.upsert(vectors=rows("a", "b", "c"))
    index.update(id="a", values=[9.0, 9.0, 9.0], set_metadata={"row": 7, "new": ["x"]})
    found = index.fetch(ids=["a"]).vectors["a"]
    assert (list(found.values), found.metadata) == ([9.0, 9.0, 9.0], {"row": 7.0, "id": "a", "new": ["x"]})
    assert index.update(filter={"row": {"$lt": 5}}, set_metadata={"seen": True}, dry_run=True).matched_records == 2
    assert "seen" not in index.fetch(ids=["b"]).vectors["b"].metadata
    assert index.update(filter={"row": {"$lt": 5}}, set_metadata={"seen": True}).matched_records == 2
    assert index.fetch(ids=["b"]).vectors["b"].metadata["seen"] is True
    index.update(id="missing", set_metadata={"a": 1})
    assert index.fetch(ids=["missing"]).vectors == {}


def test_namespaces_are_created_listed_described_and_deleted(client: pinecone.Pinecone) -> None:
    index = create(client, "spaces")
    index.create_namespace(name="made")
    with pytest.raises(pinecone.ConflictError):
        index.create_namespace(name="made")
    index.upsert(vectors=rows("a", "b"), namespace="filled")
    assert [space.name for page in index.list_namespaces() for space in page.namespaces] == ["filled", "made"]
    assert index.describe_namespace(name="filled").record_count == 2
    index.delete_namespace(name="filled")
    with pytest.raises(pinecone.NotFoundError):
        index.describe_namespace(name="filled")
    assert index.describe_index_stats().total_vector_count == 0


# Filters.

CREATURES = {
    "fox": {"legs": 4, "kind": "mammal", "tags": ["red", "small"], "tame": False},
    "dog": {"legs": 4, "kind": "mammal", "tags": ["brown"], "tame": True},
    "hen": {"legs": 2, "kind": "bird", "tame": True},
    "eel": {"kind": "fish", "tags": ["red"], "legs": 0},
}


@pytest.fixture(scope="module")
def creatures(client: pinecone.Pinecone) -> Any:
    index = create(client, "creatures")
    index.upsert(vectors=[(name, [1.0, 0.0, 0.0], metadata) for name, metadata in CREATURES.items()])
    return index


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"kind": "mammal"}, "dog fox"),
        ({"kind": {"$eq": "mammal"}, "tame": True}, "dog"),
        ({"kind": {"$ne": "mammal"}}, "eel hen"),
        ({"legs": {"$gt": 0, "$lt": 4}}, "hen"),
        ({"legs": {"$gte": 2}}, "dog fox hen"),
        ({"legs": {"$lte": 2}}, "eel hen"),
        ({"legs": 4}, "dog fox"),
        ({"kind": {"$in": ["bird", "fish"]}}, "eel hen"),
        ({"kind": {"$nin": ["bird", "fish"]}}, "dog fox"),
        ({"tags": "red"}, "eel fox"),
        ({"tags": {"$in": ["brown", "small"]}}, "dog fox"),
        ({"tags": {"$ne": "red"}}, "dog"),
        ({"tags": {"$nin": ["red"]}}, "dog"),
        ({"tags": {"$exists": False}}, "hen"),
        ({"tame": {"$exists": True}}, "dog fox hen"),
        ({"tame": {"$eq": 1}}, ""),
        ({"legs": "4"}, ""),
        ({"kind": {"$gt": 1}}, ""),
        ({"$or": [{"kind": "fish"}, {"$and": [{"legs": 4}, {"tame": False}]}]}, "eel fox"),
        ({"$and": [{"tags": "red"}, {"tags": "small"}]}, "fox"),
    ],
    ids=str,
)
def test_filters(creatures: Any, filter: dict[str, Any], expected: str) -> None:
    matches = creatures.query(vector=[1.0, 0.0, 0.0], top_k=10, filter=filter).matches
    assert sorted(match.id for match in matches) == expected.split()


@pytest.mark.parametrize(
    "filter",
    [
        {"kind": {"$like": "m"}},
        {"legs": {"$gt": "4"}},
        {"kind": ["bird"]},
        {"kind": {"$in": "bird"}},
        {"kind": {"$eq": None}},
        {"kind": {}},
        {"$or": []},
        {"$not": {"kind": "bird"}},
        {"tags": {"$exists": 1}},
        {"legs": {"$in": list(range(10_001))}},
    ],
    ids=lambda filter: str(filter)[:40],
)
def test_malformed_filters_are_refused(creatures: Any, filter: dict[str, Any]) -> None:
    with pytest.raises(pinecone.ApiError, match="Invalid filter") as caught:
        creatures.query(vector=[1.0, 0.0, 0.0], top_k=1, filter=filter)
    assert caught.value.status_code == 400


# Limits.


@pytest.fixture(scope="module")
def limited(client: pinecone.Pinecone) -> str:
    create(client, "limited")
    return "limited"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"values": [1.0, 2.0]}, "Vector dimension 2 does not match the dimension of the index 3"),
        ({"values": []}, "Vector dimension 0 does not match"),
        ({"values": [0.0, 0.0, 0.0]}, "at least one non-zero value"),
        ({"values": [1.0, None, 0.0]}, "not supported value type"),
        ({"values": [1.0, True, 0.0]}, "not supported value type"),
        ({"values": [1e39, 0.0, 0.0]}, "finite"),
        ({"id": ""}, "non-empty"),
        ({"id": "a" * 513}, "512"),
        ({"id": "é"}, "ID must be ASCII, but got 'é'"),
        ({"id": "a\x00"}, "NUL"),
        ({"sparseValues": {"indices": [1], "values": [1.0]}}, "sparse"),
        ({"metadata": {"a": None}}, "got 'null' for field 'a'"),
        ({"metadata": {"a": {"b": 1}}}, "must be a string, number, boolean or list of strings, got '{\"b\":1}'"),
        ({"metadata": {"a": [1, 2]}}, "got '[1,2]' for field 'a'"),
        ({"metadata": {"$a": 1}}, "may not start with"),
        ({"metadata": {"a": "x" * 40_953}}, "metadata size is 40961 bytes, which exceeds the limit of 40960 bytes"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_records_outside_the_limits_are_refused(
    shared: PineconeServer, limited: str, change: dict[str, Any], text: str
) -> None:
    assert text in refusal(shared, limited, GOOD | change)


def test_records_at_the_limits_are_taken(shared: PineconeServer, limited: str) -> None:
    vector = GOOD | {"id": "i" * 512, "metadata": {"a": "x" * 40_952}}
    assert raw_upsert(shared, limited, vector).json() == {"upsertedCount": 1}


def test_requests_outside_the_limits_are_refused(shared: PineconeServer, limited: str) -> None:
    base = f"{shared.url}/ix/{limited}"
    posts: list[tuple[str, dict[str, Any]]] = [
        ("vectors/upsert", {"vectors": [GOOD | {"id": str(n)} for n in range(1001)]}),
        ("vectors/upsert", {"vectors": []}),
        ("vectors/delete", {"ids": [str(n) for n in range(1001)]}),
        ("vectors/delete", {"ids": ["a"], "deleteAll": True}),
        ("query", {"vector": [1, 0, 0], "topK": 10_001}),
        ("query", {"vector": [1, 0, 0], "id": "a", "topK": 1}),
        ("query", {"vector": [1, 0], "topK": 1}),
        ("describe_index_stats", {"filter": {"a": 1}}),
        ("vectors/fetch_by_metadata", {"filter": {"a": 1}, "limit": 10_001}),
    ]
    for path, body in posts:
        response = httpx.post(f"{base}/{path}", headers=NEW, json=body)
        assert (response.status_code, response.json()["code"]) == (400, 3), path
    ids = {"ids": [str(n) for n in range(1001)]}
    assert httpx.get(f"{base}/vectors/fetch", headers=NEW, params=ids).status_code == 400
    assert httpx.get(f"{base}/vectors/list", headers=NEW, params={"limit": 101}).status_code == 400
    assert httpx.get(f"{base}/vectors/list", headers=NEW, params={"paginationToken": "é"}).status_code == 400
    assert httpx.post(f"{base}/query", headers=NEW, content=b"{").status_code == 422
    assert httpx.get(f"{base}/nothing", headers=NEW).status_code == 404


def test_bodies_over_two_megabytes_are_refused_in_either_way(pinecone_server: PineconeServer) -> None:
    index = create(connect(pinecone_server), "big", dimension=1000)
    vectors = [(str(n), row, None) for n, row in enumerate(np.random.default_rng(0).normal(size=(120, 1000)))]
    with pytest.raises(PayloadTooLargeError):
        index.upsert(vectors=vectors)
    pinecone_server.settings.oversize = "400"
    with pytest.raises(pinecone.ApiError, match=r"message length too large: found \d+ bytes, the limit is: 2"):
        index.upsert(vectors=vectors)
    assert index.upsert(vectors=vectors[:90]).upserted_count == 90


def test_null_metadata_can_be_stripped_instead(pinecone_server: PineconeServer) -> None:
    pinecone_server.settings.null_metadata = "strip"
    create(connect(pinecone_server), "nulls")
    assert raw_upsert(pinecone_server, "nulls", GOOD | {"metadata": {"a": None, "b": 1}}).status_code == 200
    assert pinecone_server.data("nulls").records("")["a"].metadata == {"b": 1.0}


# Consistency, and the process.


def test_held_writes_are_invisible_until_released(pinecone_server: PineconeServer) -> None:
    index = create(connect(pinecone_server), "held")
    first = index.upsert(vectors=rows("a"), namespace="n").response_info.lsn_committed
    pinecone_server.hold()
    second = index.upsert(vectors=rows("a", "b"), namespace="n").response_info.lsn_committed
    assert (first, second) == (1, 2)
    found = index.query(vector=[1.0, 0, 0], top_k=9, namespace="n")
    assert len(found.matches) == 0
    assert not found.response_info.is_reconciled(first)
    assert index.fetch(ids=["a"], namespace="n").vectors == {}
    assert list(index.list(namespace="n")) == []
    assert index.describe_index_stats().total_vector_count == 0
    assert len(pinecone_server.data("held").records("n")) == 2
    pinecone_server.release()
    found = index.query(vector=[1.0, 0, 0], top_k=9, namespace="n")
    assert len(found.matches) == 2
    assert found.response_info.is_reconciled(second)


def test_answers_name_the_namespace_as_it_was_asked_for(client: pinecone.Pinecone) -> None:
    index = create(client, "echo")
    index.upsert(vectors=rows("a"))
    for asked in ("__default__", ""):
        assert index.fetch(ids=["a"], namespace=asked).namespace == asked
        assert index.query(id="a", top_k=1, namespace=asked).namespace == asked
        assert next(iter(index.list(namespace=asked))).namespace == asked
        assert list(index.fetch(ids=["a"], namespace=asked).vectors) == ["a"]


@pytest.mark.parametrize("name", [" ", "   ", "\t\n"])
def test_a_namespace_has_a_name_that_can_be_read(shared: PineconeServer, client: pinecone.Pinecone, name: str) -> None:
    index = f"blank-{len(name)}-{name.isprintable()}".lower()
    create(client, index)
    url = f"{shared.url}/ix/{index}"
    for path, body in (("namespaces", {"name": name}), ("vectors/upsert", {"vectors": [GOOD], "namespace": name})):
        response = httpx.post(f"{url}/{path}", headers=NEW, json=body)
        assert (response.status_code, "not only spaces" in response.text) == (400, True)
    assert httpx.get(f"{url}/namespaces", headers=NEW).json()["namespaces"] == []


def test_by_default_an_index_is_not_ready_and_a_write_not_visible_to_who_does_not_wait() -> None:
    server = isolated_server()
    try:
        client = connect(server)
        spec = pinecone.ServerlessSpec(cloud="aws", region="us-east-1")
        client.indexes.create(name="usual", dimension=3, metric="cosine", spec=spec, timeout=-1)
        time.sleep(2 * server.settings.ready_after)  # however late one asks
        assert not client.indexes.describe("usual").status.ready
        assert client.indexes.describe("usual").status.ready
        index = client.index(name="usual")
        written = index.upsert(vectors=rows("a")).response_info.lsn_committed
        time.sleep(2 * server.settings.lag)
        assert not index.query(vector=[1.0, 0, 0], top_k=1).response_info.is_reconciled(written)
        found = index.query(vector=[1.0, 0, 0], top_k=1)
        assert ([match.id for match in found.matches], found.response_info.is_reconciled(written)) == (["a"], True)
    finally:
        server.stop()


def test_lagging_writes_are_invisible_for_that_long(pinecone_server: PineconeServer) -> None:
    pinecone_server.settings.lag = 3600
    index = create(connect(pinecone_server), "lag")
    index.upsert(vectors=rows("a"))
    assert index.query(vector=[1.0, 0, 0], top_k=1).response_info.lsn_reconciled == 0
    pinecone_server.settings.lag = 0
    index.upsert(vectors=rows("b"))
    assert index.fetch(ids=["a", "b"]).vectors == {}  # log order: the later write waits for the earlier


def test_each_namespace_has_its_own_log_and_never_goes_back(pinecone_server: PineconeServer) -> None:
    index = create(connect(pinecone_server), "logs")
    lsns = [index.upsert(vectors=rows("a"), namespace=n).response_info.lsn_committed for n in ("x", "x", "y")]
    assert lsns == [1, 2, 1]
    index.delete_namespace(name="x")
    assert index.upsert(vectors=rows("a"), namespace="x").response_info.lsn_committed > 3


def test_data_survive_an_outage(pinecone_server: PineconeServer) -> None:
    create(connect(pinecone_server), "outage")
    raw_upsert(pinecone_server, "outage", GOOD)
    pinecone_server.stop()
    with pytest.raises(httpx.ConnectError):
        raw_upsert(pinecone_server, "outage", GOOD)
    pinecone_server.start()
    assert raw_upsert(pinecone_server, "outage", GOOD | {"id": "b"}).status_code == 200
    assert set(pinecone_server.data("outage").records("")) == {"a", "b"}


@contextmanager
def by_hand(*flags: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The server as a process, and the variables that it prints: as many as there must be."""
    command = [sys.executable, "-m", "tests.pinecone_server", "--port", "0", *flags]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline().strip() for _ in range(3 if "--grpc" in flags else 2)]
            yield process, dict(line.removeprefix("export ").split("=") for line in lines)
        finally:
            process.kill()


def test_by_hand_it_prints_the_environment_and_ends_on_a_signal() -> None:
    with by_hand("--api-key", "k") as (process, values):
        assert values["PINECONE_API_KEY"] == "k"
        url = values["PINECONE_CONTROLLER_HOST"] + "/indexes"
        assert httpx.get(url, headers=NEW | {"Api-Key": "k"}).json() == {"indexes": []}
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_by_hand_flags_do_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ["--grpc", "--faults", "1", "--seed", "3", "--kinds", "429", "--lag", "60", "--ready-after", "0"]
    with by_hand(*flags) as (_, values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        client = pinecone.Pinecone(retry_config=pinecone.RetryConfig(max_retries=0))
        create(client, "flags")
        index = client.index(name="flags", grpc=True)
        with pytest.raises(pinecone.ApiError, match="injected fault: 429"):
            index.upsert(vectors=rows("a"))
        accounts = httpx.get(values["PINECONE_CONTROLLER_HOST"] + "/accounts").json()
        upserts = accounts["routes"]["upsert"]
        assert (upserts["requests"], upserts["failed"], upserts["records"]) == (1, 1, 0)
    with by_hand("--lag", "60", "--ready-after", "0", "--rate", "0.001", "--month-write-units", "1") as (_, values):
        client = pinecone.Pinecone(host=values["PINECONE_CONTROLLER_HOST"])
        base = create(client, "flags").host
        body = {"vectors": [GOOD], "namespace": "n"}
        assert httpx.post(f"{base}/vectors/upsert", headers=NEW, json=body).status_code == 200
        assert httpx.post(f"{base}/vectors/upsert", headers=NEW, json=body).json()["message"].endswith("your plan.")
        assert httpx.post(f"{base}/query", headers=NEW, json={"topK": 1, "id": "a"}).json()["matches"] == []


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--faults", "1.5"], "must be within 0 and 1, got 1.5"),
        (["--rate", "-1"], "must be 0 or more, got -1"),
        (["--kinds", "404"], "invalid choice: '404'"),
        (["--oversize", "500"], "invalid choice: '500'"),
    ],
)
def test_by_hand_bad_flags_are_usage_errors(flags: list[str], text: str) -> None:
    command = [sys.executable, "-m", "tests.pinecone_server", *flags]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert text in ended.stderr


def test_the_guide_has_every_flag_and_every_kind_of_fault() -> None:
    command = [sys.executable, "-m", "tests.pinecone_server", "--help"]
    help = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    guide = (ROOT / "docs" / "local-pinecone.md").read_text(encoding="utf-8")
    flags = set(re.findall(r"--[a-z0-9-]+", help)) - {"--help"}
    table = "".join(line for line in guide.splitlines() if line.startswith("| `--"))
    assert set(re.findall(r"`(--[a-z0-9-]+)", table)) == flags
    assert all(f"`{kind}`" in guide for kind in KINDS)
