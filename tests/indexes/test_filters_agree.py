"""One filter language: the embedded index and Pinecone give the same ids for the same filter over the same rows."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinery.errors import ConfigError
from pinery.indexes.lance import LanceIndex
from pinery.indexes.pinecone import PineconeIndex
from pinery.indexes.protocol import Index
from pinery.records import Identity
from pinery.target_settings import LanceSettings, PineconeSettings
from tests.indexes.rows import batch, settle
from tests.pinecone_server.server import PineconeServer

KEYS = ["a", "b", "a.b", "a b", "it's", '"', "back\\slash", "ä", "[0]", "a$", "A"]
TEXTS = [
    "",
    "a",
    "A",
    "it's",
    '"',
    "\\",
    "ä",
    "日本",
    "1",
    "1.0",
    "true",
    "null",
    "a,b",
    "%",
    "\n",
    "🐦",
    '\\"',
    '"b"',
    "\x7f",
    "\u2028",
    "\b",
    "\x01",
    "/",
]
NUMBERS = [0, 1, -1, 2.5, -0.5, 1e-7, 1e300, 2**53, 1234567.25, 0.1]
UNFIT = [math.nan, math.inf, -math.inf, 2**64, -(2**63) - 1, 10**400, "\ud800", None]
"""Filters that no index takes."""
VALUES: list[Any] = [
    *TEXTS,
    *NUMBERS,
    True,
    False,
    [],
    ["a"],
    ["a", "ä"],
    ["1", "true"],
    ["it's", '"', "\\", "\n", '\\"', '"b"'],
    [""],
]


def rows() -> list[dict[str, Any]]:
    """Every value under the first key, and every key with several of the values."""
    single = [{KEYS[0]: value} for value in VALUES]
    mixed = [
        {key: VALUES[(7 * n + 3 * m) % len(VALUES)] for n, key in enumerate(KEYS) if (n + m) % 3} for m in range(24)
    ]
    return [{}, *single, *mixed]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, module_server: PineconeServer) -> tuple[Index, Index]:
    """Both kinds of index, holding `rows()`."""
    indexes: tuple[Index, Index] = (
        LanceIndex(LanceSettings(), tmp_path_factory.mktemp("index") / "things", "things", "n", 2),
        PineconeIndex(PineconeSettings(kind="pinecone"), "things", "n", 2),
    )
    data = rows()
    for index in indexes:
        index.ensure(Identity("state", "inc", "model"))
        index.upsert(batch([f"{n:03}" for n in range(len(data))], [[1.0, 0.1 * n] for n in range(len(data))], data))
        settle(index, 10)
    return indexes


def answer(index: Index, filter: dict[str, Any]) -> list[str] | str:
    """The ids that pass, or that the filter is refused."""
    try:
        return sorted(match.id for match in index.query([1.0, 0.0], 1000, filter))
    except ConfigError:
        return "refused"


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("operator", ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$exists"])
def test_each_operator_with_each_value_on_each_key(both: tuple[Index, Index], operator: str, key: str) -> None:
    operands = [one for one in VALUES if key == KEYS[0] or not isinstance(one, str)] + [*UNFIT, "a"]
    for operand in operands:
        filter = {key: {operator: operand}}
        assert answer(both[0], filter) == answer(both[1], filter), filter


@pytest.mark.parametrize("unfit", UNFIT, ids=ascii)
def test_what_no_index_takes_is_refused_by_both_wherever_it_stands(both: tuple[Index, Index], unfit: Any) -> None:
    for operator in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte"):
        for filter in (
            {"a": {operator: unfit}},
            {"b": 1, "$or": [{"a": 1}, {"a": {"$exists": True, operator: unfit}}]},
        ):
            assert [answer(index, filter) for index in both] == ["refused", "refused"], filter
    for operator in ("$in", "$nin", "$and", "$or"):
        filter = {operator: [unfit]} if operator in ("$and", "$or") else {"a": {operator: ["x", unfit]}}
        assert [answer(index, filter) for index in both] == ["refused", "refused"], filter


def test_filters_nested_twenty_deep_are_taken_by_both(both: tuple[Index, Index]) -> None:
    filter: dict[str, Any] = {"a": {"$in": ["a", 1]}}
    for depth in range(20):
        filter = (
            {"$and": [filter, {"a": {"$exists": True}}]}
            if depth % 2
            else {"$or": [filter, {"b": {"$gt": 9, "$ne": 10}}]}
        )
    found = answer(both[0], filter)
    assert found == answer(both[1], filter)
    assert len(found) > 1
    with pytest.raises(ConfigError, match="nested more than 20 deep"):
        both[0].query([1.0, 0.0], 1, {"$and": [filter]})


def test_the_rows_tell_the_operators_apart(both: tuple[Index, Index]) -> None:
    answers = [answer(both[0], {"a": {operator: 1}}) for operator in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")]
    assert all(isinstance(found, list) and found for found in answers)
    assert len({tuple(found) for found in answers}) == 6


keys = st.sampled_from(KEYS)
scalars = st.one_of(st.sampled_from(TEXTS), st.sampled_from(NUMBERS), st.booleans(), st.sampled_from(UNFIT))
anything = st.one_of(scalars, st.floats(), st.integers(), st.lists(scalars, max_size=2))
conditions = st.one_of(
    scalars,
    st.fixed_dictionaries({}, optional=dict.fromkeys(("$eq", "$ne"), scalars)),
    st.fixed_dictionaries(
        {}, optional={name: st.sampled_from(NUMBERS) | st.floats() for name in ("$gt", "$gte", "$lt", "$lte")}
    ),
    st.fixed_dictionaries({}, optional={name: st.lists(scalars, max_size=3) for name in ("$in", "$nin")}),
    st.fixed_dictionaries({"$exists": st.booleans()}, optional={"$ne": scalars}),
    st.dictionaries(st.sampled_from(["$eq", "$gt", "$in", "$exists", "$like", "$not"]), anything, max_size=2),
)
filters = st.recursive(
    st.dictionaries(keys, conditions, max_size=2),
    lambda inner: st.fixed_dictionaries(
        {}, optional={"$and": st.lists(inner, max_size=3), "$or": st.lists(inner, max_size=3), "a": conditions}
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(filters)
def test_any_filter_gives_the_same_ids(both: tuple[Index, Index], filter: dict[str, Any]) -> None:
    assert answer(both[0], filter) == answer(both[1], filter)
