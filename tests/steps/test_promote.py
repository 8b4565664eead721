"""What is live changes by one step, to a target that is at the current listing, or not at all."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pinery.checkpoint.alias import Alias, IndexEntry, write_alias
from pinery.errors import ConfigError, IndexMismatchError, RefusedError
from pinery.steps.make_plan import PlanOptions
from pinery.steps.promote import promote, refuse_unless_current, rollback
from tests.corpora import paint
from tests.filled import bring, opened


def rewrite(settings: dict[str, Any], **changes: Any) -> Alias:
    corpus = opened(settings)
    alias, tag = corpus.alias()
    changed = replace(alias, **changes)
    write_alias(corpus.store, corpus.paths.alias, changed, tag)
    return changed


@pytest.fixture
def two(filled: dict[str, Any]) -> tuple[dict[str, Any], IndexEntry, IndexEntry]:
    """A corpus with a live index and a candidate that the gate passed, both at the current listing."""
    first = opened(filled).alias()[0].live
    bring(filled | {"index": {"kind": "lance", "name": "second"}})
    second = opened(filled).alias()[0].live
    assert first is not None
    assert second is not None
    rewrite(filled, live=first, retired=[], candidates=[replace(second, gate="pass")])
    return filled, first, second


Two = tuple[dict[str, Any], IndexEntry, IndexEntry]


def test_a_candidate_that_passed_goes_live_and_the_former_is_kept_for_as_long_as_the_config_says(two: Two) -> None:
    settings, first, second = two
    before = datetime.now(UTC)
    change = promote(opened(settings | {"keep": "36h"}), "second")
    alias = opened(settings).alias()[0]
    assert alias.live is not None
    assert (alias.live.same_target(second), alias.candidates, alias.retired) == (True, [], [])
    [kept] = alias.kept
    assert kept.same_target(first)
    ends = datetime.fromisoformat(kept.until) - before
    assert timedelta(hours=35.9) < ends < timedelta(hours=36.1)
    assert (change.what, change.live["index"], change.generation) == ("promoted", "second", alias.generation)
    assert change.former is not None
    assert (change.former["index"], change.former["until"]) == (first.name, kept.until)
    told = change.to_dict()
    assert {"index", "namespace", "model", "model_key"} <= set(told["live"]) & set(told["former"])
    with pytest.raises(RefusedError, match=rf"index second is live already, in generation {alias.generation}"):
        promote(opened(settings), "second")


def test_a_rollback_and_another_change_places(two: Two) -> None:
    settings, first, _ = two
    promote(opened(settings), "second")
    assert rollback(opened(settings)).live["index"] == first.name
    assert rollback(opened(settings)).live["index"] == "second"
    assert promote(opened(settings), first.name).gate == "", "a kept one was judged when it went live"
    assert [one.what for one in opened(settings).alias()[0].history[-4:]] == [
        "promoted",
        "rolled-back",
        "rolled-back",
        "promoted",
    ]


@pytest.mark.parametrize(
    ("gate", "match"),
    [("fail", "is `fail`; the report of its backfill says why"), ("", "was not judged yet: its backfill did not end")],
)
def test_a_candidate_that_did_not_pass_is_promoted_by_force_alone_and_that_is_written_down(
    two: Two, gate: str, match: str
) -> None:
    settings, first, second = two
    rewrite(settings, candidates=[replace(second, gate=gate)])
    with pytest.raises(RefusedError, match=match):
        promote(opened(settings), "second")
    live = opened(settings).alias()[0].live
    assert live is not None
    assert live.same_target(first)
    change = promote(opened(settings), "second", force=True)
    assert change.gate == opened(settings).alias()[0].history[-1].gate == f"{gate or 'not judged'}, forced"


def test_an_index_that_is_behind_is_refused_with_what_is_missing(two: Two, made: dict[str, Any]) -> None:
    settings, _, _ = two
    source = settings["source"] | {"path": str(Path(settings["state"]) / "images")}
    for number in range(6):
        paint(Path(source["path"]) / f"red-{number}.jpg", "red", number)
    bring(settings | {"source": source}, PlanOptions(allow_deletes=True, allow_changes=True))
    with pytest.raises(RefusedError, match=r"second is not at the current listing: .* `pinery backfill` with the same"):
        promote(opened(settings), "second", force=True)
    alias = opened(settings).alias()[0]
    rewrite(settings, candidates=[], kept=[replace(alias.candidates[0], until="2999-01-01T00:00:00+00:00")])
    with pytest.raises(RefusedError, match=r"second is not at the current listing: .* `pinery run` brings it there"):
        rollback(opened(settings))


def test_an_unknown_index_and_a_retired_one_are_refused_with_what_there_is(two: Two) -> None:
    settings, _, second = two
    with pytest.raises(ConfigError, match=r"no candidate or kept index 'nowhere'; it has second"):
        promote(opened(settings), "nowhere")
    rewrite(settings, candidates=[], retired=[replace(second, until="2020-01-01T00:00:00+00:00")])
    with pytest.raises(RefusedError, match="index second is retired"):
        promote(opened(settings), "second", force=True)
    with pytest.raises(ConfigError, match="it has none; `pinery backfill` makes one"):
        promote(opened(settings), "nowhere")


@pytest.mark.parametrize("kept", [False, True])
def test_there_is_no_way_back_where_none_is_kept_or_its_time_is_over(two: Two, kept: bool) -> None:
    settings, _, second = two
    rewrite(settings, candidates=[], kept=[replace(second, until="2020-01-01T00:00:00+00:00")] if kept else [])
    with pytest.raises(RefusedError, match="no kept index to go back to"):
        rollback(opened(settings))


def test_an_index_that_is_gone_or_belongs_to_another_state_is_refused(two: Two) -> None:
    settings, first, second = two
    with pytest.raises(IndexMismatchError, match=r"index third is gone; `x` brings it true first"):
        refuse_unless_current(opened(settings), replace(second, name="third"), "`x`")
    other = replace(first, card=replace(first.card, decoder="scaled"))
    with pytest.raises(IndexMismatchError, match="belongs to another state or model"):
        refuse_unless_current(opened(settings), other, "`x`")
