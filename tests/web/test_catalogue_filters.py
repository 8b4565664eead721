"""The catalogue's filters and those of the embedded index give the same items for the same metadata."""

import json
from typing import Any

import pytest
from hypothesis import given, settings

from pinery.config import LanceSettings
from pinery.config_file import load_config
from pinery.corpus.corpus import Corpus
from pinery.errors import ConfigError
from pinery.indexes.lance import LanceIndex
from pinery.indexes.protocol import Index
from pinery.records import Identity, Item
from pinery.sources.metadata import clean
from pinery.web.catalogue import Listed
from tests.corpora import config
from tests.indexes.rows import batch, settle
from tests.indexes.test_filters_agree import KEYS, NUMBERS, UNFIT, VALUES, filters, rows
from tests.vectors import written_listing

Both = tuple[Index, Listed]
MORE = ["\x1b", "\x1f\t", "a\\nb", "x'y\"z", "e\u0301", "[1]", "{}", "$", "*"]
"""More texts, whose JSON is written in more than one way, or that a path might be taken for."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """An embedded index and a listing of the same rows."""
    folder = tmp_path_factory.mktemp("both")
    index: Index = LanceIndex(LanceSettings(), folder / "things", "things", "n", 2)
    index.ensure(Identity("state", "inc", "model"))
    texts = [clean(one) for one in [*rows(), *({"a": one} for one in MORE), {"a": MORE}]]
    ids = [f"{n:03}" for n in range(len(texts))]
    index.upsert(batch(ids, [[1.0, 0.1 * n] for n in range(len(ids))], texts))
    settle(index, 10)
    corpus = Corpus(load_config(config(folder, folder / "state")))
    items = [Item(id, f"file:///{id}", "1", 1, text) for id, text in zip(ids, texts, strict=True)]
    corpus.store.publish("test/listings/l.parquet", written_listing(folder, items))
    return index, Listed(corpus, "test/listings/l.parquet")


def indexed(index: Index, filter: dict[str, Any]) -> list[str] | str:
    try:
        return sorted(match.id for match in index.query([1.0, 0.0], 1000, filter))
    except ConfigError:
        return "refused"


def listed(catalogue: Listed, filter: dict[str, Any]) -> list[str] | str:
    try:
        return [place.item.id for place in catalogue.page(0, 1000, filter)]
    except ConfigError:
        return "refused"


@pytest.mark.parametrize("operator", ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists"])
def test_each_operator_with_each_value_on_each_key(both: Both, operator: str) -> None:
    matched = 0
    for key in KEYS:
        first = [*NUMBERS, *UNFIT, "1"] if operator.startswith(("$g", "$l")) else [*VALUES, *MORE, *UNFIT]
        operands = first if key == KEYS[0] else ["a", 1, True]
        for operand in operands:
            wanted = [operand, "a"] if operator in ("$in", "$nin") else operand
            filter = {key: {operator: wanted}}
            found = indexed(both[0], filter)
            assert listed(both[1], filter) == found, filter
            matched += bool(found) and found != "refused"
    assert matched > 3


@settings(max_examples=40)
@given(filters)
def test_any_filter_gives_the_same_items(both: Both, filter: dict[str, Any]) -> None:
    assert listed(both[1], filter) == indexed(both[0], filter)


def test_the_members_of_lists_are_found_whatever_they_hold(both: Both) -> None:
    odd = next(one for one in VALUES if isinstance(one, list) and "it's" in one)
    for member in odd:
        found = listed(both[1], {"a": member})
        assert found == indexed(both[0], {"a": member})
        texts = [place.item.metadata for place in both[1].page(0, 1000, {"a": member})]
        assert {"a": odd} in texts, f"{json.dumps(member)} is in the list"
