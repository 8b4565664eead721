"""Promotion: an index goes live in the place of what its run saw, or not at all; what it replaced is named."""

from dataclasses import replace
from typing import Any

import pytest

from pinery.checkpoint.alias import Alias, IndexEntry, write_alias
from pinery.corpus.live import retired
from pinery.corpus.open_run import open_run
from pinery.errors import LeaseLostError, RefusedError
from pinery.steps.close_run import go_live
from tests.filled import opened


def write(settings: dict[str, Any], alias: Alias) -> None:
    """Change the alias as another run, or another machine, would."""
    corpus = opened(settings)
    write_alias(corpus.store, corpus.paths.alias, alias, corpus.alias()[1])


def live_name(settings: dict[str, Any]) -> str | None:
    live = opened(settings).alias()[0].live
    return live.name if live else None


def named(settings: dict[str, Any], name: str) -> IndexEntry:
    return replace(opened(settings).named, name=name)


def test_an_index_goes_live_in_the_place_of_what_its_run_saw(filled: dict[str, Any]) -> None:
    old = opened(filled).alias()[0].live
    fresh = filled | {"index": {"kind": "lance", "name": "fresh"}}
    with open_run(opened(fresh)) as run:
        go_live(run)
        assert run.alias == opened(fresh).alias()[0], "the run knows what it did"
        alias, again = run.alias, len(run.alias.history)
        assert (alias.live, alias.generation) == (named(fresh, "fresh"), 2)
        assert old is not None
        [left] = alias.retired
        assert left.same_target(old)
        assert left.until == alias.history[-1].at, "the time since when it is retired"
        assert (alias.history[-1].run, alias.history[-1].live) == (run.name, "fresh")
        go_live(run)
        assert len(opened(fresh).alias()[0].history) == again, "what is live already isn't written again"


def test_an_index_does_not_go_live_over_what_its_run_never_saw(filled: dict[str, Any]) -> None:
    fresh = filled | {"index": {"kind": "lance", "name": "fresh"}}
    with open_run(opened(fresh)) as run:
        write(fresh, run.alias.with_live(named(fresh, "elsewhere"), "now", "other"))
        with pytest.raises(RefusedError, match=r"fresh / test is filled and verified, and didn't go live: .*elsewhere"):
            go_live(run)
    assert live_name(fresh) == "elsewhere"


def test_an_alias_that_was_emptied_meanwhile_is_told_as_none(filled: dict[str, Any]) -> None:
    fresh = filled | {"index": {"kind": "lance", "name": "fresh"}}
    with open_run(opened(fresh)) as run:
        assert run.alias.live is not None
        write(fresh, run.alias.without(run.alias.live, "now", "other"))
        with pytest.raises(RefusedError, match="and that is none now"):
            go_live(run)
    assert live_name(fresh) is None


def test_a_change_beside_what_is_live_is_kept_and_no_hindrance(filled: dict[str, Any]) -> None:
    fresh = filled | {"index": {"kind": "lance", "name": "fresh"}}
    with open_run(opened(fresh)) as run:
        write(fresh, replace(run.alias, kept=[named(fresh, "kept-since")]))
        go_live(run)
    alias = opened(fresh).alias()[0]
    assert alias.live == named(fresh, "fresh")
    assert alias.kept == [named(fresh, "kept-since")], "what the other wrote isn't lost"


def test_what_another_run_brought_about_already_is_taken_as_done(filled: dict[str, Any]) -> None:
    fresh = filled | {"index": {"kind": "lance", "name": "fresh"}}
    with open_run(opened(fresh)) as run:
        write(fresh, run.alias.with_live(named(fresh, "fresh"), "before", "other"))
        go_live(run)
    assert opened(fresh).alias()[0].history[-1].run == "other", "one event, and one entry in the history"


def test_a_run_without_its_lease_changes_nothing(filled: dict[str, Any]) -> None:
    fresh = filled | {"index": {"kind": "lance", "name": "fresh"}}
    before = live_name(fresh)
    with open_run(opened(fresh)) as run:
        run.main.lease.release()
        with pytest.raises(LeaseLostError):
            go_live(run)
    assert live_name(fresh) == before


def test_a_removal_is_refused_where_something_else_is_live_by_then(filled: dict[str, Any]) -> None:
    with open_run(opened(filled)) as run:
        own = run.main.target.entry
        write(filled, run.alias.with_live(named(filled, "elsewhere"), "now", "other"))
        with pytest.raises(RefusedError, match=r"its rows stay: .* lance:elsewhere / test with model descriptor"):
            run.seen.change(lambda alias: alias.without(alias.live or own, "now", run.name), "its rows stay")
    assert live_name(filled) == "elsewhere"


def test_what_is_retired_is_named_with_the_command_that_removes_it(filled: dict[str, Any]) -> None:
    assert retired(opened(filled)) == []
    first = opened(filled).target.entry.name
    spaced = filled | {"namespace": "new place"}
    with open_run(opened(spaced)) as run:
        go_live(run)
    [left] = retired(opened(spaced))
    assert (left["kind"], left["index"], left["namespace"], left["model"]) == ("lance", first, "test", "descriptor")
    assert left["remove"] == "pinery remove CONFIG --set namespace=test"
    elsewhere = filled | {"index": {"kind": "pinecone", "name": "cloud"}}
    command = retired(opened(elsewhere))[0]["remove"]
    assert command == f"pinery remove CONFIG --set index.kind=lance --set index.name={first}"
    with open_run(opened(filled)) as run:
        go_live(run)
    assert retired(opened(filled))[0]["remove"] == "pinery remove CONFIG --set 'namespace=new place'"
