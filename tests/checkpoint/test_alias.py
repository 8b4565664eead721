"""The alias: each index is live, kept or retired, never two of them; and it is changed only from what was read."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinery.checkpoint.alias import Alias, Change, IndexEntry, read_alias, write_alias
from pinery.checkpoint.store import LocalStore, Store
from pinery.errors import ConflictError, DamagedError
from pinery.records import ModelCard

CARD = ModelCard("descriptor", "none", "", "", "resize", "exact", "fp32", True, 512, {"precision_cosine": 0.9})
OTHER_CARD = replace(CARD, decoder="scaled")


def entry(name: str, card: ModelCard = CARD, namespace: str = "ns") -> IndexEntry:
    return IndexEntry("lance", name, namespace, card)


def test_what_is_written_is_read_with_its_tag(store: Store) -> None:
    assert read_alias(store, "alias.json") == (Alias(), None)
    alias = Alias(entry("a"), [entry("b", OTHER_CARD)], [entry("c")], [Change("2026-01-01T00:00:00+00:00", "run", "a")])
    tag = write_alias(store, "alias.json", alias, None)
    assert read_alias(store, "alias.json") == (alias, tag)
    found = read_alias(store, "alias.json")[0].live
    assert found is not None
    assert (found.card.key, dict(found.card.probe)) == (CARD.key, {"precision_cosine": 0.9})


def test_only_who_read_the_newest_alias_replaces_it(store: Store) -> None:
    first = write_alias(store, "alias.json", Alias(entry("a")), None)
    with pytest.raises(ConflictError):
        write_alias(store, "alias.json", Alias(entry("late")), None)
    second = write_alias(store, "alias.json", Alias(entry("b")), first)
    with pytest.raises(ConflictError):
        write_alias(store, "alias.json", Alias(entry("late")), first)
    assert read_alias(store, "alias.json") == (Alias(entry("b")), second)


def test_going_live_retires_what_was_live_and_notes_when_and_by_whom() -> None:
    first = Alias().with_live(entry("a"), "t1", "run-1")
    assert first == Alias(entry("a"), history=[Change("t1", "run-1", "a")])
    second = first.with_live(entry("b"), "t2", "run-2")
    assert second.live == entry("b")
    assert second.retired == [entry("a")]
    assert second.history == [Change("t1", "run-1", "a"), Change("t2", "run-2", "b")]
    assert second.with_live(entry("b"), "t3", "run-3") is second, "what is live already changes nothing"


def test_an_index_that_goes_live_again_is_neither_kept_nor_retired_any_more() -> None:
    alias = Alias(entry("a"), kept=[entry("b"), entry("c")], retired=[entry("b", OTHER_CARD), entry("d")])
    alias = alias.with_live(entry("b"), "t", "run")
    assert (alias.live, alias.kept, alias.retired) == (entry("b"), [entry("c")], [entry("d"), entry("a")])


def test_the_same_place_with_another_model_is_replaced_and_not_retired() -> None:
    alias = Alias(entry("a")).with_live(entry("a", OTHER_CARD), "t", "run")
    assert (alias.live, alias.retired) == (entry("a", OTHER_CARD), [])
    assert [one.live for one in alias.history] == ["a"]


def test_removing_takes_an_index_from_wherever_it_is() -> None:
    alias = Alias(entry("a"), kept=[entry("b"), entry("c")], retired=[entry("c", OTHER_CARD), entry("d")])
    gone = alias.without(entry("c"), "t", "run")
    assert gone == Alias(entry("a"), kept=[entry("b")], retired=[entry("d")]), "and is no event of what is live"
    empty = gone.without(entry("a", OTHER_CARD), "t", "run")
    assert (empty.live, empty.history) == (None, [Change("t", "run", "")])
    assert empty.without(entry("nowhere"), "t", "run") == empty


names = st.sampled_from("abc")
steps = st.lists(st.tuples(st.booleans(), names, st.sampled_from([CARD, OTHER_CARD])), max_size=12)


@given(steps, st.lists(names, max_size=2, unique=True))
def test_no_place_is_in_the_alias_twice_whatever_happens(
    done: list[tuple[bool, str, ModelCard]], kept: list[str]
) -> None:
    alias = Alias(kept=[entry(name) for name in kept])
    for live, name, card in done:
        one = entry(name, card)
        alias = alias.with_live(one, "t", "run") if live else alias.without(one, "t", "run")
        assert alias.live == one if live else alias.live is None or alias.live.name != name
        places = [one.place for one in [alias.live, *alias.kept, *alias.retired] if one]
        assert len(places) == len(set(places))
    assert [change.live for change in alias.history][-1:] in ([], [alias.live.name if alias.live else ""])


def test_one_place_is_kind_index_and_namespace() -> None:
    one = entry("a")
    assert one.place == "lance:a / ns"
    assert one.same_place(entry("a", OTHER_CARD))
    for other in (replace(one, kind="pinecone"), replace(one, name="b"), replace(one, namespace="other")):
        assert not one.same_place(other)


@pytest.mark.parametrize("change", [{"live": {"kind": "lance"}}, {"kept": None}, {"history": [{"at": "now"}]}], ids=str)
def test_an_alias_that_is_not_what_was_written_is_damaged(tmp_path: Path, change: dict[str, object]) -> None:
    store = LocalStore(tmp_path)
    write_alias(store, "alias.json", Alias(entry("a")), None)
    data = json.loads((tmp_path / "alias.json").read_text()) | change
    (tmp_path / "alias.json").write_text(json.dumps(data))
    with pytest.raises(DamagedError, match=r"alias\.json is damaged: .* its index goes live again"):
        read_alias(store, "alias.json")
