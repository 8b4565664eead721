"""The local Pinecone fails on demand, limits the rate of requests, and counts them."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pinecone
import pytest
from pinecone.errors import ResponseParsingError

from tests.pinecone_server import PineconeServer
from tests.pinecone_server.client import GOOD, NEW, connect, create, raw_upsert, rows
from tests.pinecone_server.faults import KINDS, PlannedKind
from tests.pinecone_server.fixtures import prompt_server as pinecone_server

__all__ = ["pinecone_server"]


def outcome(ask: Callable[[], httpx.Response]) -> str:
    """The status of one answer, or what broke."""
    try:
        return str(ask().status_code)
    except httpx.RemoteProtocolError:
        return "cut"
    except httpx.TransportError:
        return "reset"


# Queued faults.


def test_answers_are_injected_and_used_up(pinecone_server: PineconeServer) -> None:
    index = create(connect(pinecone_server), "faults")
    pinecone_server.faults.push("upsert", 429, headers={"Retry-After": "0"})
    pinecone_server.faults.push("query", 400, body={"code": 3, "message": "injected words"})
    assert index.upsert(vectors=rows("a")).upserted_count == 1  # the SDK's own retry
    assert [entry.status for entry in pinecone_server.log.entries if entry.op == "upsert"] == [429, 200]
    with pytest.raises(pinecone.ApiError, match="injected words"):
        index.query(vector=[1.0, 0, 0], top_k=1)
    pinecone_server.faults.push("*", 200, body=b"not json")
    with pytest.raises(ResponseParsingError):
        index.query(vector=[1.0, 0, 0], top_k=1)
    pinecone_server.faults.cut("upsert")
    with pytest.raises(pinecone.PineconeError):
        index.upsert(vectors=rows("b"))  # it was carried out, and the SDK doesn't ask again
    assert set(pinecone_server.data("faults").records("")) == {"a", "b"}
    assert pinecone_server.faults.pending == 0


@pytest.mark.parametrize("after", [False, True], ids=["before-effect", "after-effect"])
def test_resets_come_before_or_after_the_effect(pinecone_server: PineconeServer, after: bool) -> None:
    create(connect(pinecone_server), "resets")
    push = pinecone_server.faults.reset_after if after else pinecone_server.faults.reset_before
    push("upsert")
    with pytest.raises(httpx.TransportError):
        raw_upsert(pinecone_server, "resets", GOOD)
    assert set(pinecone_server.data("resets").records("")) == ({"a"} if after else set())
    assert pinecone_server.log.count("upsert", status=0) == 1


def test_a_blocked_request_waits_at_its_gate(pinecone_server: PineconeServer) -> None:
    index = create(connect(pinecone_server), "gates")
    gate = pinecone_server.faults.block("upsert")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(index.upsert, vectors=rows("a"))
        assert gate.arrived.wait(10)
        assert pinecone_server.data("gates").records("") == {}
        gate.release()
        assert waiting.result(10).upserted_count == 1


# Plans and outages.


@pytest.mark.parametrize(
    ("kind", "expected", "written"),
    [
        ("429-after", "429", False),
        ("429", "429", False),
        ("500", "500", False),
        ("503", "503", False),
        ("reset-before", "reset", False),
        ("reset-after", "reset", True),
        ("slow", "200", True),
        ("cut", "cut", True),
    ],
)
def test_each_kind_of_planned_fault(
    pinecone_server: PineconeServer, kind: PlannedKind, expected: str, written: bool
) -> None:
    create(connect(pinecone_server), "kinds")
    pinecone_server.faults.plan(1, 1.0, [kind], retry_after=7, slow=0.2)
    answers: list[httpx.Response] = []

    def ask() -> httpx.Response:
        answers.append(raw_upsert(pinecone_server, "kinds", GOOD))
        return answers[0]

    assert outcome(ask) == expected
    assert bool(pinecone_server.data("kinds").records("")) == written
    assert [answer.headers.get("Retry-After") for answer in answers if kind == "429-after"] in ([], ["7"])
    assert all("Retry-After" not in answer.headers for answer in answers if kind != "429-after")
    (entry,) = (entry for entry in pinecone_server.log.entries if entry.op == "upsert")
    assert entry.records == int(written)
    assert entry.status == (0 if expected in ("reset", "cut") else int(expected))
    assert (entry.seconds >= 0.2) == (kind == "slow")


def test_a_plan_draws_the_same_faults_from_the_same_seed(pinecone_server: PineconeServer) -> None:
    create(connect(pinecone_server), "seeds")

    def outcomes(seed: int) -> list[str]:
        pinecone_server.faults.plan(seed, 0.5, slow=0.0)
        return [outcome(lambda: raw_upsert(pinecone_server, "seeds", GOOD)) for _ in range(60)]

    first = outcomes(7)
    assert first == outcomes(7)
    assert first != outcomes(8)
    assert {"200", "429", "500", "503", "reset", "cut"} == set(first)
    pinecone_server.faults.plan(7, 0.5, ["503"])
    asked = [outcome(lambda: raw_upsert(pinecone_server, "seeds", GOOD)) for _ in range(30)]
    draws = random.Random(7)
    drawn = ["503" if draws.random() < 0.5 and draws.choice(["503"]) else "200" for _ in range(30)]
    assert asked == drawn


def test_a_plan_spares_the_control_plane_and_ends_with_clear(pinecone_server: PineconeServer) -> None:
    client = connect(pinecone_server)
    create(client, "spared")
    pinecone_server.faults.plan(1, 1.0, ["503"])
    assert client.indexes.describe("spared").status.ready
    assert raw_upsert(pinecone_server, "spared", GOOD).status_code == 503
    pinecone_server.faults.clear()
    assert raw_upsert(pinecone_server, "spared", GOOD).status_code == 200


def test_the_sdk_comes_through_a_plan_and_rows_sent_twice_are_counted(pinecone_server: PineconeServer) -> None:
    index = create(connect(pinecone_server), "storm")
    pinecone_server.faults.plan(3, 0.3, ["429-after", "503", "reset-before", "reset-after"], retry_after=0)
    ids = [f"row-{number}" for number in range(20)]
    for id in ids:
        assert index.upsert(vectors=rows(id), namespace="n").upserted_count == 1
    statuses = [entry.status for entry in pinecone_server.log.entries if entry.op == "upsert"]
    assert statuses.count(200) == 20
    assert len(statuses) > 20
    lost = sum(entry.status == 0 and entry.records == 1 for entry in pinecone_server.log.entries)
    counts = pinecone_server.log.upserts("storm", "n")
    assert set(counts) == set(ids)
    assert lost > 0
    assert sum(counts.values()) == 20 + lost


@pytest.mark.parametrize(("share", "kinds"), [(1.1, KINDS), (-0.1, KINDS), (0.5, ()), (0.5, ("404",))])
def test_a_plan_that_makes_no_sense_is_refused(share: float, kinds: Any) -> None:
    with pytest.raises(ValueError, match="share of 0 to 1"):
        PineconeServer().faults.plan(1, share, kinds)


@pytest.mark.parametrize(("reset", "expected"), [(False, "503"), (True, "reset")])
def test_an_outage_meets_every_request_until_its_end(
    pinecone_server: PineconeServer, reset: bool, expected: str
) -> None:
    create(connect(pinecone_server), "dark")
    pinecone_server.faults.begin_outage(reset=reset)
    pinecone_server.faults.push("upsert", 400)
    assert outcome(lambda: raw_upsert(pinecone_server, "dark", GOOD)) == expected
    assert outcome(lambda: httpx.get(f"{pinecone_server.url}/indexes", headers=NEW)) == expected
    assert pinecone_server.data("dark").records("") == {}
    pinecone_server.faults.end_outage()
    assert outcome(lambda: raw_upsert(pinecone_server, "dark", GOOD)) == "400"  # it was still queued
    assert outcome(lambda: raw_upsert(pinecone_server, "dark", GOOD)) == "200"


# Limits over time.


def test_requests_over_the_rate_are_refused_per_namespace(pinecone_server: PineconeServer) -> None:
    index = create(connect(pinecone_server), "rated")
    pinecone_server.settings.rate = 1 / 3600
    assert raw_upsert(pinecone_server, "rated", GOOD, "n").status_code == 200
    refused = raw_upsert(pinecone_server, "rated", GOOD, "n")
    assert (refused.status_code, refused.json()["code"]) == (429, 8)
    assert "max upsert requests per second per namespace (0.000277778)" in refused.json()["message"]
    assert raw_upsert(pinecone_server, "rated", GOOD, "other").status_code == 200
    pinecone_server.settings.rate = 20.0
    for number in range(30):  # 20 at once, the others as the SDK's own retries come through
        index.upsert(vectors=rows(str(number)), namespace="third")
    assert pinecone_server.log.count("upsert", status=429) > 1
    assert len(pinecone_server.data("rated").records("third")) == 30


def test_writes_past_the_months_units_are_refused_for_good(pinecone_server: PineconeServer) -> None:
    index = create(connect(pinecone_server), "month")
    pinecone_server.settings.month_write_units = 10
    statuses = [raw_upsert(pinecone_server, "month", GOOD).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    body = {"ids": ["a"]}
    refused = httpx.post(f"{pinecone_server.url}/ix/month/vectors/delete", headers=NEW, json=body)
    assert (refused.status_code, refused.json()["code"]) == (429, 8)
    assert "write unit limit for the current month (10)" in refused.json()["message"]
    assert len(index.query(vector=[1.0, 0.0, 0.0], top_k=1).matches) == 1


# Accounts.


def test_the_log_counts_requests_records_and_bytes(pinecone_server: PineconeServer) -> None:
    index = create(connect(pinecone_server), "counted")
    index.upsert(vectors=rows("a", "b"), namespace="n")
    index.upsert(vectors=rows("c"), namespace="n")
    index.fetch(ids=["a", "b", "missing"], namespace="n")
    index.delete(ids=["a", "b"], namespace="n")
    log = pinecone_server.log
    assert (log.count("upsert"), log.records("upsert"), log.records("fetch"), log.records("delete")) == (2, 3, 2, 2)
    assert log.bytes("upsert") > 100
    assert {(entry.index, entry.namespace) for entry in log.entries if entry.op == "upsert"} == {("counted", "n")}
    assert log.peak("upsert") == 1
    log.clear()
    assert log.count() == 0


def test_write_units_are_those_of_the_price_list(pinecone_server: PineconeServer) -> None:
    index = create(connect(pinecone_server), "billed", dimension=1000)
    log = pinecone_server.log

    def units(ask: Callable[[], object]) -> int:
        before = log.write_units
        ask()
        return log.write_units - before

    # A row has 4 bytes of id, 4000 of values and 13 of metadata: 4.017 KB, ten of them 40.17 KB.
    ten = [(f"id-{n}", [1.0] * 1000, {"a": "bcdef"}) for n in range(10)]
    assert units(lambda: index.upsert(vectors=ten)) == 41
    assert units(lambda: index.upsert(vectors=ten)) == 81  # and as much again for what is overwritten
    assert units(lambda: index.upsert(vectors=ten[:1], namespace="n")) == 5
    assert units(lambda: index.update(id="id-0", set_metadata={"a": "b"})) == 5
    assert units(lambda: index.delete(ids=["id-1", "id-2", "absent"])) == 9
    assert units(lambda: index.delete(filter={"a": "bcdef"})) == 29
    assert units(lambda: index.delete(delete_all=True)) == 5
    assert units(lambda: index.query(vector=[1.0] * 1000, top_k=1)) == 0
    pinecone_server.faults.push("upsert", 503)
    assert units(lambda: index.upsert(vectors=ten)) == 41
    pinecone_server.faults.reset_after("upsert")
    assert units(lambda: index.upsert(vectors=ten)) == 81 + 81
    assert log.write_units == sum(entry.write_units for entry in log.entries)


def test_accounts_are_told_over_http(pinecone_server: PineconeServer) -> None:
    index = create(connect(pinecone_server), "told")
    index.upsert(vectors=rows("a", "b"))
    index.upsert(vectors=rows("b", "c"), namespace="n")
    index.upsert(vectors=rows("b", "d"))
    raw_upsert(pinecone_server, "told", GOOD | {"values": [1.0]})
    accounts = httpx.get(f"{pinecone_server.url}/accounts").json()
    assert accounts == pinecone_server.log.accounts()
    upserts = accounts["routes"]["upsert"]
    assert (upserts["requests"], upserts["failed"], upserts["records"]) == (4, 1, 6)
    assert upserts["bytes"] == pinecone_server.log.bytes("upsert", status=None)
    assert (accounts["rows"], accounts["rows_again"], accounts["write_units"]) == (5, 1, 15)
    assert pinecone_server.log.upserts("told") == {"a": 1, "b": 2, "d": 1}


# Consistency.


def test_no_read_sees_a_write_before_any_other(pinecone_server: PineconeServer) -> None:
    index = create(connect(pinecone_server), "behind")
    index.upsert(vectors=rows("a", "b"), namespace="n")

    def seen() -> list[object]:
        by_metadata = index.fetch_by_metadata(filter={"row": {"$gte": 0}}, namespace="n").vectors
        return [
            index.fetch(ids=["a", "b", "c"], namespace="n").vectors,
            {item.id for page in index.list(namespace="n") for item in page.vectors},
            {match.id for match in index.query(vector=[1.0, 0, 0], top_k=9, namespace="n").matches},
            {match.id for match in index.query(id="a", top_k=9, namespace="n").matches},
            index.describe_index_stats().total_vector_count,
            index.describe_namespace(name="n").record_count,
            by_metadata,
        ]

    before = seen()
    pinecone_server.hold()
    index.upsert(vectors=rows("c"), namespace="n")
    index.update(id="b", set_metadata={"row": -1}, namespace="n")
    index.delete(ids=["a"], namespace="n")
    assert seen() == before
    pinecone_server.release()
    fetched, listed, near, by_id, total, described, by_metadata = seen()
    assert listed == near == {"b", "c"}
    assert isinstance(fetched, dict)
    assert set(fetched) == {"b", "c"}
    assert fetched["b"].metadata["row"] == -1
    assert (by_id, total, described) == (set(), 2, 2)
    assert isinstance(by_metadata, dict)
    assert set(by_metadata) == {"c"}
