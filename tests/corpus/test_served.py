"""Which indexes a run serves: the alias rules, and the config where the alias doesn't know better."""

from dataclasses import replace

import pytest

from pinery.checkpoint.alias import Alias, IndexEntry
from pinery.corpus.served import Served, served
from pinery.errors import RefusedError
from pinery.records import ModelCard

OLD = ModelCard("descriptor", "none", "", "", "resize", "exact", "fp32", True, 512)
NEW = replace(OLD, name="clip:x")
THEN, LATER = "2026-01-01T00:00:00+00:00", "2026-02-01T00:00:00+00:00"


def entry(name: str, card: ModelCard = OLD, until: str = "") -> IndexEntry:
    return IndexEntry("lance", name, "ns", card, until=until)


def serve(alias: Alias, named: IndexEntry) -> Served:
    return served(alias, named, THEN, "creatures")


def test_the_first_run_serves_what_the_config_names() -> None:
    assert serve(Alias(), entry("a")) == Served(entry("a"))


def test_the_live_target_is_served_with_all_that_are_kept_long_enough() -> None:
    kept = [entry("b", NEW, LATER), entry("c", NEW, THEN)]
    assert serve(Alias(entry("a"), kept), entry("a")) == Served(entry("a"), (kept[0],))


@pytest.mark.parametrize(("until", "word"), [(LATER, "kept until 2026-02-01"), (THEN, "retired since 2026-01-01")])
def test_a_config_that_names_a_kept_target_is_told_what_is_live(until: str, word: str) -> None:
    alias = Alias(entry("b", NEW), [entry("a", until=until)])
    chosen = serve(alias, entry("a"))
    assert chosen.main == entry("b", NEW)
    assert chosen.kept == ((entry("a", until=until),) if until > THEN else ())
    assert f"names model descriptor in index a, which is {word}" in chosen.note
    assert chosen.note.endswith("live is clip:x in index b")
    retired = Alias(entry("b", NEW), retired=[entry("a", until=THEN)])
    assert "retired since" in serve(retired, entry("a")).note


def test_the_live_model_with_an_index_that_is_not_live_is_a_fresh_index() -> None:
    kept = [entry("b", NEW, LATER)]
    assert serve(Alias(entry("a"), kept), entry("fresh")) == Served(entry("fresh"), tuple(kept))


@pytest.mark.parametrize("where", ["kept", "retired", "candidates"])
def test_a_fresh_index_is_refused_where_another_model_has_it(where: str) -> None:
    alias = replace(Alias(entry("a")), **{where: [entry("b", NEW, LATER)]})
    with pytest.raises(RefusedError, match=r"lance:b / ns holds vectors of clip:x .* Set index.name to another name"):
        serve(alias, entry("b"))


def test_a_model_that_the_alias_does_not_know_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"of corpus creatures holds .* never mixed: `pinery backfill`"):
        serve(Alias(entry("a")), entry("b", NEW))


def test_a_candidate_is_promoted_and_not_run() -> None:
    alias = Alias(entry("a"), candidates=[entry("b", NEW)])
    with pytest.raises(RefusedError, match="a candidate: `pinery promote CONFIG --index b` makes it the live one"):
        serve(alias, entry("b", NEW))


def test_a_kept_model_gets_no_fresh_index() -> None:
    alias = Alias(entry("b", NEW), [entry("a", until=LATER)])
    with pytest.raises(RefusedError, match=r"kept in index a, and not in extra. A fresh index is filled with the live"):
        serve(alias, entry("extra"))
