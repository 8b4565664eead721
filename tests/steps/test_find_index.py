"""A target's index is known by its identity, is never another's, and its namespace belongs to one corpus."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinery.corpus.open_run import open_run
from pinery.errors import DamagedError, IndexMismatchError, RefusedError
from pinery.planning.plan import count_plan
from pinery.records import Identity
from pinery.steps.find_index import ensure_index, find_index, refuse_foreign, release_namespace
from tests.corpora import config
from tests.filled import current_listing, holding, opened


def test_an_index_is_found_with_its_ledger_and_nothing_is_created(filled: dict[str, Any]) -> None:
    with open_run(opened(filled)) as run:
        find_index(run.main)
        assert run.main.identity == run.main.index.describe()
        assert run.main.ledger.files()
    fresh = filled | {"index": {"kind": "lance", "name": "fresh"}}
    with open_run(opened(fresh)) as run:
        find_index(run.main)
        assert (run.main.identity, run.main.ledger.files(), run.main.index.describe()) == (None, [], None)


def test_an_index_is_created_once_and_remembered(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    with holding(settings) as held:
        assert held.identity is not None
        assert (held.identity.state, held.identity.model_key) == (held.run.corpus.state_id, held.target.card.key)
        recorded = held.target.recorded()
        assert recorded is not None
        assert recorded.incarnation == held.identity.incarnation
        assert held.target.store.read(held.target.paths.card(held.target.card.key)) is not None
        ensure_index(held)
        assert held.target.recorded() == recorded
    with holding(settings) as held:
        assert held.target.recorded() == recorded


def test_an_index_of_another_state_or_model_is_refused(filled: dict[str, Any]) -> None:
    corpus = opened(filled)
    found = corpus.target.index.describe()
    assert found is not None
    refuse_foreign(corpus, corpus.target, None)
    refuse_foreign(corpus, corpus.target, found)
    with pytest.raises(IndexMismatchError, match=r"belongs to state another; .*index\.name or"):
        refuse_foreign(corpus, corpus.target, replace(found, state="another"))
    with pytest.raises(IndexMismatchError, match="holds vectors of model key another"):
        refuse_foreign(corpus, corpus.target, Identity(found.state, found.incarnation, "another"))


def test_a_namespace_belongs_to_one_corpus_until_that_lets_go(filled: dict[str, Any]) -> None:
    heir = filled | {"corpus": "heir", "namespace": "test"}
    with open_run(opened(heir)) as run, pytest.raises(IndexMismatchError, match="belongs to corpus test"):
        find_index(run.main)
    opened(filled).target.index.leave_mark("")
    release_namespace(opened(filled).target)
    with holding(heir) as held:
        assert held.ledger.files() == [], "what the other corpus wrote is none of its own"
    with open_run(opened(filled)) as run, pytest.raises(IndexMismatchError, match="belongs to corpus heir"):
        find_index(run.main)


def test_a_namespace_that_another_corpus_took_since_the_run_looked_is_refused(filled: dict[str, Any]) -> None:
    fresh = filled | {"namespace": "fresh"}
    with open_run(opened(fresh | {"corpus": "late"})) as late:
        find_index(late.main)
        with holding(fresh):
            pass
        with pytest.raises(IndexMismatchError, match=r"'fresh' of index .* was just taken by corpus test"):
            ensure_index(late.main)


def test_a_damaged_owner_is_told_and_not_taken_for_none(filled: dict[str, Any]) -> None:
    [path] = Path(filled["state"]).glob("owners/lance/*/test.json")
    path.write_text("{}")
    with open_run(opened(filled)) as run, pytest.raises(DamagedError, match=r"test\.json is damaged"):
        find_index(run.main)


def test_an_index_that_was_emptied_behind_a_full_ledger_is_doubted_as_a_whole(filled: dict[str, Any]) -> None:
    opened(filled).target.index.drop()
    with holding(filled) as held, held.planned(current_listing(held)) as con:
        counts = count_plan(con)
    assert (counts.doubtful, counts.to_upsert, counts.to_embed) == (12, 12, 0)


def test_an_index_that_is_ahead_of_this_state_is_refused_unless_that_is_allowed(filled: dict[str, Any]) -> None:
    opened(filled).target.index.leave_mark("99-deadbeef")
    with open_run(opened(filled)) as run:
        with pytest.raises(RefusedError, match="another copy of this state, under lease epoch 99"):
            find_index(run.main)
        find_index(run.main, behind=True)
        assert "epoch 99" in run.main.behind
