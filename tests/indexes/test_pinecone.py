"""The Pinecone index against the local server, through the real SDK."""

import math
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pinecone
import pyarrow as pa
import pytest

from pinery.errors import (
    AccessDeniedError,
    ConfigError,
    IndexMismatchError,
    PineryError,
    RequestTooLargeError,
    RowsRefusedError,
    TerminalError,
    ThrottledError,
    TransientError,
)
from pinery.indexes.pinecone import PineconeIndex
from pinery.indexes.protocol import Index
from pinery.planning.packing import pack
from pinery.records import Identity, Match, Stored
from pinery.target_settings import PineconeSettings
from tests.indexes.rows import batch, settle
from tests.pinecone_server import PineconeServer
from tests.pinecone_server.fixtures import pinecone_environment
from tests.pinecone_server.fixtures import prompt_server as pinecone_server

__all__ = ["pinecone_environment", "pinecone_server"]

IDENTITY = Identity(state="state-1", incarnation="inc-1", model_key="0123456789")
SETTINGS = PineconeSettings.model_validate({"kind": "pinecone"})
SECRET = "pcsk_very-secret-key"


@pytest.fixture
def index(server: PineconeServer) -> PineconeIndex:
    """A created index of three dimensions."""
    created = make()
    created.ensure(IDENTITY)
    server.log.clear()
    return created


def make(name: str = "things", namespace: str = "n", dimension: int = 3, **settings: Any) -> PineconeIndex:
    return PineconeIndex(SETTINGS.model_copy(update=settings), name, namespace, dimension)


def rows(*ids: str, start: int = 0) -> pa.RecordBatch:
    values = [[1.0, float(start + row), 0.1] for row in range(len(ids))]
    return batch(ids, values, [{"row": start + row, "label": "ä"} for row in range(len(ids))])


def foreign(server: PineconeServer, **options: Any) -> Any:
    """The index `things`, made by another program."""
    client = pinecone.Pinecone()
    spec = pinecone.ServerlessSpec(cloud="aws", region="us-east-1")
    wanted: dict[str, Any] = {"name": "things", "dimension": 3, "metric": "cosine", "spec": spec} | options
    client.indexes.create(**wanted)
    return client.index(name="things")


def test_it_is_an_index() -> None:
    checked: Index = make()
    assert checked.name == "things"
    assert (checked.max_request_rows, checked.max_request_bytes, checked.max_concurrency) == (1000, 1_999_440, 16)


def test_importing_it_does_not_import_the_sdk() -> None:
    code = "import sys, pinery.indexes.pinecone; sys.exit('pinecone' in sys.modules or 'httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Identity.


def test_an_absent_index_is_created_with_its_identity(server: PineconeServer) -> None:
    index = make(deletion_protection=True, cloud="gcp", region="us-central1", metric="dotproduct")
    assert index.describe() is None
    assert index.ensure(IDENTITY) == IDENTITY
    assert index.describe() == IDENTITY
    found: Any = pinecone.Pinecone().indexes.describe("things")
    assert (found.dimension, found.metric, found.deletion_protection) == (3, "dotproduct", "enabled")
    assert (found.deployment.cloud, found.deployment.region) == ("gcp", "us-central1")
    assert found.tags == {"pinery-state": "state-1", "pinery-incarnation": "inc-1", "pinery-model": "0123456789"}


def test_an_existing_index_keeps_its_identity(index: PineconeIndex) -> None:
    other = replace(IDENTITY, state="state-2", incarnation="inc-2")
    assert make().ensure(other) == IDENTITY


def test_losing_the_race_to_create_is_no_error(server: PineconeServer) -> None:
    index = make()
    gate = server.faults.block("create_index")
    with ThreadPoolExecutor(1) as pool:
        ensured = pool.submit(index.ensure, replace(IDENTITY, incarnation="loser"))
        assert gate.arrived.wait(10)
        assert make().ensure(IDENTITY) == IDENTITY
        gate.release()
        assert ensured.result(10) == IDENTITY
    assert server.log.count("create_index", status=409) == 1


def test_it_waits_until_a_new_index_is_ready(server: PineconeServer) -> None:
    server.settings.ready_after = math.inf
    with ThreadPoolExecutor(1) as pool:
        ensured = pool.submit(make().ensure, IDENTITY)
        assert server.log.wait_for("describe_index", 3)
        assert not ensured.done()
        server.make_ready("things")
        assert ensured.result(10) == IDENTITY


def test_waiting_for_a_new_index_ends_at_the_timeout(server: PineconeServer) -> None:
    server.settings.ready_after = 3600
    with pytest.raises(TransientError, match=r"things is still Initializing after 0\.1 s"):
        make(ready_timeout=0.1).ensure(IDENTITY)
    assert make().describe() == IDENTITY


def test_an_unknown_region_is_a_configuration_error(server: PineconeServer) -> None:
    with pytest.raises(ConfigError, match="no region moon-1 on aws for index things"):
        make(region="moon-1").ensure(IDENTITY)


@pytest.mark.parametrize(
    ("other", "text"), [({"dimension": 4}, "dimension 4 and"), ({"metric": "euclidean"}, "metric euclid")]
)
def test_another_shape_is_refused_with_both_named(server: PineconeServer, other: dict[str, Any], text: str) -> None:
    foreign(server, **other)
    for action in (make().describe, lambda: make().ensure(IDENTITY)):
        with pytest.raises(IndexMismatchError, match="index things has dimension") as caught:
            action()
        assert text in str(caught.value)
        assert "the config needs 3 and cosine" in str(caught.value)


def test_a_filled_index_without_tags_is_refused(server: PineconeServer) -> None:
    foreign(server).upsert(vectors=[("a", [1.0, 0.0, 0.0])], namespace="elsewhere")
    for action in (make().describe, lambda: make().ensure(IDENTITY)):
        with pytest.raises(IndexMismatchError, match="things holds vectors but no `pinery-state` tag"):
            action()


def test_an_empty_index_without_tags_is_adopted(server: PineconeServer) -> None:
    foreign(server, tags={"team": "vision", "pinery-state": "half"})
    assert make().describe() is None
    assert make().ensure(IDENTITY) == IDENTITY
    assert make().describe() == IDENTITY
    assert (pinecone.Pinecone().indexes.describe("things").tags or {})["team"] == "vision"
    assert server.log.count("create_index") == 1


# Rows.


def test_rows_are_upserted_in_one_request_and_come_back(server: PineconeServer, index: PineconeIndex) -> None:
    index.upsert(rows("a", "b/c d"))
    assert server.log.count("upsert") == 1
    found = index.fetch(["a", "b/c d", "missing"])
    assert found == {
        "a": Stored((1.0, 0.0, float(np.float32(0.1))), {"row": 0.0, "label": "ä"}),
        "b/c d": Stored((1.0, 1.0, float(np.float32(0.1))), {"row": 1.0, "label": "ä"}),
    }
    index.upsert(rows("a", start=7))
    assert index.fetch(["a"])["a"].metadata["row"] == 7.0
    assert index.count() == 2


def test_float32_values_survive_the_trip_to_the_bit(server: PineconeServer) -> None:
    index = make(dimension=500)
    index.ensure(IDENTITY)
    matrix = np.random.default_rng(1).normal(size=(5, 500)).astype(np.float32)
    index.upsert(batch(list("abcde"), list(matrix)).slice(1, 3))
    for row, id in enumerate("bcd", start=1):
        assert np.array_equal(np.array(index.fetch([id])[id].values, dtype=np.float32), matrix[row])


def test_a_packed_request_is_taken(server: PineconeServer) -> None:
    index = make(dimension=1000)
    index.ensure(IDENTITY)
    matrix = np.random.default_rng(1).normal(size=(200, 1000)).astype(np.float32)
    all_rows = batch([f"row-{row}" for row in range(200)], list(matrix))
    slices = pack(index.row_bytes(all_rows), index.max_request_rows, index.max_request_bytes)
    for start, stop in slices:
        index.upsert(all_rows.slice(start, stop - start))
    assert (index.count(), len(slices)) == (200, 2)


def test_no_rows_and_no_ids_make_no_request(server: PineconeServer, index: PineconeIndex) -> None:
    index.upsert(rows())
    index.delete([])
    assert index.fetch([]) == {}
    assert server.log.count() == 0


def test_ids_are_deleted_and_unknown_ones_ignored(index: PineconeIndex) -> None:
    index.delete(["a"])  # the namespace doesn't exist yet
    index.upsert(rows("a", "b", "c"))
    index.delete(["a", "c", "never"])
    assert set(index.fetch(["a", "b", "c"])) == {"b"}
    assert index.count() == 1


def test_all_ids_are_listed_in_pages(index: PineconeIndex) -> None:
    assert list(index.list_ids()) == []
    ids = [f"id-{number:03}" for number in range(250)]
    index.upsert(rows(*ids))
    pages = list(index.list_ids())
    assert [len(page) for page in pages] == [100, 100, 50]
    assert [id for page in pages for id in page] == ids


def test_fetches_are_split_by_count_and_by_url(server: PineconeServer, index: PineconeIndex) -> None:
    ids = [f"{number:03}" for number in range(205)] + [f"{number:03}" + "/" * 500 for number in range(9)]
    index.upsert(rows(*ids))
    assert set(index.fetch(ids)) == set(ids)
    assert [entry.records for entry in server.log.entries if entry.op == "fetch"] == [100, 100, 8, 3, 3]


def test_namespaces_are_apart(index: PineconeIndex) -> None:
    other = make(namespace="other")
    index.upsert(rows("a", "b"))
    other.upsert(rows("a"))
    assert (index.count(), other.count(), make(namespace="third").count(), make(namespace="").count()) == (2, 1, 0, 0)
    other.delete(["a"])
    assert set(index.fetch(["a", "b"])) == {"a", "b"}
    assert other.query([1.0, 0.0, 0.0], 5) == []
    assert list(make(namespace="third").list_ids()) == []


def test_the_default_namespace_works_alike(index: PineconeIndex) -> None:
    default = make(namespace="")
    default.upsert(rows("a", "b"))
    settle(default, 5)
    assert (default.count(), index.count(), list(default.list_ids())) == (2, 0, [["a", "b"]])
    default.delete(["a"])
    assert default.count() == 1


def test_queries_return_the_nearest_first_and_obey_filters(index: PineconeIndex) -> None:
    index.upsert(rows("a", "b", "c"))
    matches = index.query([1.0, 0.0, 0.1], 2)
    assert [match.id for match in matches] == ["a", "b"]
    assert isinstance(matches[0], Match)
    assert matches[0].score == pytest.approx(1.0)
    assert matches[0].metadata == {"row": 0.0, "label": "ä"}
    assert [match.id for match in index.query([1.0, 0, 0], 5, {"row": {"$in": [1, 2]}})] == ["b", "c"]
    assert index.query(np.array([1, 0, 0], np.float32), 5, {"label": "b"}) == []  # type: ignore[arg-type]


def test_a_euclidean_score_is_higher_when_nearer(server: PineconeServer) -> None:
    index = make(metric="euclidean")
    index.ensure(IDENTITY)
    index.upsert(rows("a", "b", "c"))
    assert [(match.id, round(match.score, 3)) for match in index.query([1.0, 0.0, 0.1], 2)] == [("a", 0), ("b", -1)]


@pytest.mark.parametrize(
    ("vector", "filter"), [([1.0], None), ([1.0, 0, 0], {"row": {"$near": 1}}), ([1.0, 0, 0], {"$or": []})]
)
def test_a_query_that_pinecone_refuses_is_a_usage_error(index: PineconeIndex, vector: list[float], filter: Any) -> None:
    with pytest.raises(ConfigError, match="Pinecone index things"):
        index.query(vector, 1, filter)


# Waiting for what was written.


def test_settle_waits_for_held_writes(server: PineconeServer, index: PineconeIndex) -> None:
    index.upsert(rows("a"))
    server.hold()
    index.upsert(rows("b"))
    index.upsert(rows("c"))
    with pytest.raises(TransientError, match=r"after 0\.2 s writes are visible up to LSN 0, not yet up to 3"):
        settle(index, 0.2)
    server.log.clear()
    with ThreadPoolExecutor(1) as pool:
        settled = pool.submit(settle, index, 30)
        assert server.log.wait_for("query", 2)
        assert not settled.done()
        server.release()
        settled.result(10)
    assert index.count() == 3


def test_settle_waits_for_held_deletes(server: PineconeServer, index: PineconeIndex) -> None:
    index.upsert(rows("a", "b"))
    settle(index, 5)
    server.hold()
    index.delete(["a"])
    with pytest.raises(TransientError, match="visible up to LSN 1, not yet up to 2"):
        settle(index, 0.1)
    server.release()
    settle(index, 5)
    assert index.count() == 1


def test_settle_asks_nothing_when_nothing_was_written(server: PineconeServer, index: PineconeIndex) -> None:
    settle(index, 0)
    assert server.log.count() == 0


def test_many_threads_share_one_index(server: PineconeServer, index: PineconeIndex) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: index.upsert(rows(f"id-{number}")), range(40)))
    settle(index, 5)
    assert (index.count(), server.log.count("upsert"), index._written_lsn) == (40, 40, 40)


# Errors.


@pytest.mark.parametrize(
    ("status", "body", "expected", "text"),
    [
        (413, "Payload Too Large", RequestTooLargeError, "413"),
        (
            400,
            {"code": 11, "message": "message length too large: found 9 bytes, the limit is: 8 bytes"},
            RequestTooLargeError,
            "found 9",
        ),
        (
            400,
            {"code": 3, "message": "metadata size is 50000 bytes, which exceeds the limit of 40960 bytes per vector"},
            RowsRefusedError,
            "^metadata size is",
        ),
        (422, {"code": 3, "message": "not supported value type"}, RowsRefusedError, "^not supported value type$"),
        (401, "Invalid API Key", AccessDeniedError, "PINECONE_API_KEY"),
        (403, {"code": 7, "message": "no rights"}, AccessDeniedError, "no rights"),
        (402, {"code": 9, "message": "pay first"}, TerminalError, "pay first"),
        (404, {"code": 5, "message": "Index not found"}, TerminalError, "Index not found"),
        (409, {"code": 6, "message": "conflict"}, TerminalError, "conflict"),
        (
            429,
            {"code": 8, "message": "You've reached your write unit limit for the current month (2000000)."},
            TerminalError,
            "monthly quota is used up",
        ),
        (429, {"code": 8, "message": "Monthly quota of write units exceeded"}, TerminalError, "quota is used up"),
        (429, {"code": 8, "message": "too many requests"}, ThrottledError, "too many"),
        (408, None, TransientError, "408"),
        (500, None, TransientError, "500"),
        (503, None, TransientError, "503"),
        (520, None, TransientError, "520"),
        (200, b"{broken", TransientError, "not a JSON object"),
        (200, {"upsertedCount": 1}, TransientError, "acknowledged 1 of 2 rows"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else str(value)[:24],
)
def test_each_refusal_has_its_own_error(
    server: PineconeServer, index: PineconeIndex, status: int, body: Any, expected: type[PineryError], text: str
) -> None:
    server.faults.push("upsert", status, times=None, body=body, headers={"Retry-After": "0"})
    with pytest.raises(expected, match=text) as caught:
        index.upsert(rows("a", "b"))
    assert type(caught.value) is expected
    assert caught.value.__cause__ is None


def test_a_connection_that_stays_broken_is_transient(server: PineconeServer, index: PineconeIndex) -> None:
    server.stop()
    with pytest.raises(TransientError, match="PineconeConnectionError"):
        index.upsert(rows("a"))
    server.start()
    index.upsert(rows("a"))


@pytest.mark.parametrize(
    ("values", "id", "metadata", "text"),
    [
        ([1.0, 2.0], "a", "{}", "^Vector dimension 2 does not match the dimension of the index 3$"),
        (None, "a", "{}", "Vector dimension 0"),
        ([1.0, math.nan, 0.0], "a", "{}", "finite"),
        ([1.0, math.inf, 0.0], "a", "{}", "finite"),
        ([1.0, None, 0.0], "a", "{}", "finite"),
        ([1.0, 0.0, 0.0], "a", "{", "metadata is not JSON"),
    ],
)
def test_rows_are_refused_before_they_are_sent(
    server: PineconeServer, index: PineconeIndex, values: Any, id: str, metadata: str, text: str
) -> None:
    with pytest.raises(RowsRefusedError, match=text):
        index.upsert(batch(["good", id], [[1.0, 0.0, 0.0], values], ["{}", metadata]))
    assert server.log.count("upsert") == 0


@pytest.mark.parametrize(
    ("id", "values", "metadata", "text"),
    [
        ("ä", [1.0, 0.0, 0.0], "{}", "ASCII"),
        ("a" * 513, [1.0, 0.0, 0.0], "{}", r"^Vector ID exceeds the limit of 512"),
        ("a", [0.0, 0.0, 0.0], "{}", "at least one non-zero value"),
        ("a", [1.0, 0.0, 0.0], '{"a": {"b": 1}}', "list of strings"),
    ],
)
def test_rows_are_refused_by_the_server_in_its_words(
    index: PineconeIndex, id: str, values: list[float], metadata: str, text: str
) -> None:
    with pytest.raises(RowsRefusedError, match=text):
        index.upsert(batch([id], [values], [metadata]))


def test_a_missing_index_is_terminal(server: PineconeServer) -> None:
    for action in (lambda: make().count(), lambda: make().upsert(rows("a"))):
        with pytest.raises(TerminalError, match="things"):
            action()


def test_without_a_key_the_error_says_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PINECONE_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=r"PINECONE_API_KEY.*pinecone-api-key.*kind: lance"):
        make().describe()


@pytest.mark.parametrize("op", ["create_index", "upsert"])
def test_an_echoed_key_is_kept_out_of_every_error(server: PineconeServer, index: PineconeIndex, op: str) -> None:
    keyed = PineconeIndex(SETTINGS, "things", "n", 3, api_key=SECRET)
    absent = PineconeIndex(SETTINGS, "absent", "n", 3, api_key=SECRET)
    action: Callable[[], object] = partial(keyed.upsert, rows("a"))
    if op == "create_index":
        action = partial(absent.ensure, IDENTITY)
    for status in (400, 401, 403, 404, 413, 429, 503):
        server.faults.push(op, status, times=None, body=f"month: key {SECRET} is bad", headers={"Retry-After": "0"})
        with pytest.raises(PineryError) as caught:
            action()
        server.faults.clear()
        assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_closed_index_opens_again(index: PineconeIndex) -> None:
    index.close()
    index.close()
    index.upsert(rows("a"))
    assert index.count() == 1


def test_an_index_is_discarded_once_no_other_namespace_holds_rows(server: PineconeServer, index: PineconeIndex) -> None:
    other = make(namespace="other")
    for one in (index, other):
        one.upsert(rows("a"))
        settle(one, 10)
    index.drop()
    assert not index.discard()
    assert other.count() == 1
    other.drop()
    assert other.discard()
    assert index.describe() is None
    assert index.discard(), "one that is gone is no error"


def test_an_index_with_deletion_protection_is_not_discarded(server: PineconeServer) -> None:
    protected = make(deletion_protection=True)
    protected.ensure(IDENTITY)
    assert not protected.discard()
    assert protected.describe() == IDENTITY
