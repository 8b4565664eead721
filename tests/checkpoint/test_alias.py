"""The alias: each index is live, kept or retired, never two of them; and it is changed only from what was read."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinery.checkpoint.alias import Alias, IndexEntry, read_alias, write_alias
from pinery.checkpoint.store import LocalStore, Store
from pinery.errors import ConflictError, DamagedError
from pinery.records import ModelCard
from pinery.reports import Change

CARD = ModelCard("descriptor", "none", "", "", "resize", "exact", "fp32", True, 512, {"precision_cosine": 0.9})
OTHER_CARD = replace(CARD, decoder="scaled")


def entry(name: str, card: ModelCard = CARD, namespace: str = "ns") -> IndexEntry:
    return IndexEntry("lance", name, namespace, card)


def test_what_is_written_is_read_with_its_tag(store: Store) -> None:
    assert read_alias(store, "alias.json") == (Alias(), None)
    model = {"name": "descriptor", "weights": None}
    alias = Alias(
        replace(entry("a"), model=model),
        [replace(entry("b", OTHER_CARD), until="2026-01-15T00:00:00+00:00")],
        [entry("c")],
        [Change("2026-01-01T00:00:00+00:00", "run", "a", "promoted", "pass")],
        7,
        [replace(entry("d"), gate="undecided", listing="listings/x.parquet")],
    )
    tag = write_alias(store, "alias.json", alias, None)
    assert read_alias(store, "alias.json") == (alias, tag)
    found = read_alias(store, "alias.json")[0].live
    assert found is not None
    assert (found.card.key, dict(found.card.probe)) == (CARD.key, {"precision_cosine": 0.9})


def test_an_alias_of_the_version_before_is_read(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    old = asdict(Alias(entry("b"), retired=[entry("a")], history=[Change("t1", "r1", "a"), Change("t2", "r2", "b")]))
    for name in ("generation", "candidates"):
        del old[name]
    for one in (old["live"], *old["retired"]):
        for name in ("model", "until", "gate", "listing"):
            del one[name]
    for change in old["history"]:
        del change["what"], change["gate"]
    (tmp_path / "alias.json").write_text(json.dumps(old))
    found, _ = read_alias(store, "alias.json")
    assert found.live == entry("b")
    assert (found.generation, found.candidates, found.retired) == (2, [], [entry("a")])


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
    assert first == Alias(entry("a"), history=[Change("t1", "run-1", "a")], generation=1)
    second = first.with_live(entry("b"), "t2", "run-2")
    assert second.live == entry("b")
    assert second.retired == [replace(entry("a"), until="t2")]
    assert second.history == [Change("t1", "run-1", "a"), Change("t2", "run-2", "b")]
    assert second.generation == 2
    assert second.with_live(entry("b"), "t3", "run-3") == second, "what is live already changes nothing"
    known = second.with_live(replace(entry("b"), model={"name": "descriptor"}), "t3", "run-3")
    assert (known.live, known.generation) == (replace(entry("b"), model={"name": "descriptor"}), 2)


def test_a_promotion_keeps_what_was_live_and_a_rollback_goes_back_to_it() -> None:
    before = Alias().with_live(entry("a"), "t1", "run-1").with_candidate(replace(entry("b", OTHER_CARD), gate="pass"))
    promoted = before.promoted(before.candidates[0], "t9", Change("t2", "run-2", "b", "promoted", "pass"))
    assert promoted.live == entry("b", OTHER_CARD), "and what was only true of the candidate is gone"
    assert (promoted.kept, promoted.retired, promoted.candidates) == ([replace(entry("a"), until="t9")], [], [])
    assert (promoted.generation, promoted.history[-1].gate) == (2, "pass")
    back = promoted.promoted(promoted.kept[-1], "t10", Change("t3", "run-3", "a", "rolled-back"))
    assert (back.live, back.kept) == (entry("a"), [replace(entry("b", OTHER_CARD), until="t10")])
    assert back.generation == 3
    assert back.promoted(entry("a"), "t11", Change("t4", "run-4", "a")) is back, "what is live already changes nothing"


def test_a_kept_index_is_retired_once_its_time_is_over() -> None:
    alias = Alias(entry("a"), kept=[replace(entry("b"), until="t3"), replace(entry("c"), until="t5")])
    assert alias.expired("t2") is alias
    later = alias.expired("t3")
    assert (later.kept, later.retired) == ([replace(entry("c"), until="t5")], [replace(entry("b"), until="t3")])
    assert (later.live, later.generation) == (alias.live, alias.generation)


def test_a_candidate_is_noted_once_and_replaces_what_was_retired_in_its_place() -> None:
    alias = Alias(entry("a"), retired=[entry("b", OTHER_CARD)]).with_candidate(entry("b", OTHER_CARD))
    judged = alias.with_candidate(replace(entry("b", OTHER_CARD), gate="fail", listing="l"))
    assert (judged.candidates, judged.retired) == ([replace(entry("b", OTHER_CARD), gate="fail", listing="l")], [])
    assert judged.with_candidate(judged.candidates[0]) == judged


def test_an_index_that_goes_live_again_is_neither_kept_nor_retired_any_more() -> None:
    alias = Alias(entry("a"), kept=[entry("b"), entry("c")], retired=[entry("b", OTHER_CARD), entry("d")])
    alias = alias.with_live(entry("b"), "t", "run")
    left = [entry("d"), replace(entry("a"), until="t")]
    assert (alias.live, alias.kept, alias.retired) == (entry("b"), [entry("c")], left)


def test_the_same_place_with_another_model_is_replaced_and_not_retired() -> None:
    alias = Alias(entry("a")).with_live(entry("a", OTHER_CARD), "t", "run")
    assert (alias.live, alias.retired) == (entry("a", OTHER_CARD), [])
    assert [one.live for one in alias.history] == ["a"]


def test_removing_takes_an_index_from_wherever_it_is() -> None:
    alias = Alias(entry("a"), kept=[entry("b"), entry("c")], retired=[entry("c", OTHER_CARD), entry("d")])
    gone = alias.with_candidate(entry("e")).without(entry("c"), "t", "run")
    assert gone == Alias(entry("a"), [entry("b")], [entry("d")], candidates=[entry("e")]), "and nothing went live"
    assert gone.without(entry("e"), "t", "run").candidates == []
    empty = gone.without(entry("a", OTHER_CARD), "t", "run")
    assert (empty.live, empty.history, empty.generation) == (None, [Change("t", "run", "", "removed")], 1)
    assert empty.without(entry("nowhere"), "t", "run") == empty


names = st.sampled_from("abc")
steps = st.lists(
    st.tuples(
        st.sampled_from(["live", "promote", "remove", "candidate", "expire"]),
        names,
        st.sampled_from([CARD, OTHER_CARD]),
        st.integers(0, 9).map(str),
    ),
    max_size=12,
)


@given(steps)
def test_no_place_is_in_the_alias_twice_whatever_happens(done: list[tuple[str, str, ModelCard, str]]) -> None:
    alias = Alias()
    for what, name, card, time in done:
        one, before = entry(name, card), alias
        if what == "live":
            alias = alias.with_live(one, time, "run")
        elif what == "promote":
            alias = alias.promoted(one, time, Change(time, "run", name, "promoted"))
        elif what == "remove":
            alias = alias.without(one, time, "run")
        elif what == "candidate" and not any(one.same_place(known) for known in [before.live, *before.kept] if known):
            alias = alias.with_candidate(one)
        elif what == "expire":
            alias = alias.expired(time)
        if what in ("live", "promote"):
            assert alias.live == one
        places = [known.place for known in alias.entries()]
        assert len(places) == len(set(places))
        moved = (before.live and before.live.card.key, before.live and before.live.place) != (
            alias.live and alias.live.card.key,
            alias.live and alias.live.place,
        )
        assert alias.generation - before.generation == int(moved) == len(alias.history) - len(before.history)
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
