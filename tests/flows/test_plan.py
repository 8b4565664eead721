"""A run of a saved plan does just that where nothing moved, and else refuses before it changes anything."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import flows.reindex as module
from flows.reindex import reindex
from pinery.checkpoint.alias import write_alias
from pinery.errors import ConfigError, RefusedError
from pinery.steps.preview import preview
from tests.corpora import config, paint
from tests.filled import Heard, bring, counts, keep_true, opened, rows_of

Move = Callable[[dict[str, Any], Path], dict[str, Any] | None]


@pytest.fixture
def settings(images: Path, tmp_path: Path) -> dict[str, Any]:
    """A corpus with a live index, and one new image."""
    made = config(images, tmp_path / "state")
    bring(made)
    paint(images / "red-9.jpg", "red", 9)
    return made


def plan_of(settings: dict[str, Any], **options: Any) -> str:
    return json.dumps(preview(opened(settings), **options).to_dict())


def state_of(settings: dict[str, Any]) -> dict[str, bytes]:
    """The state's files of items: listings, parts and ledgers."""
    root = Path(settings["state"]) / "test"
    return {str(path): path.read_bytes() for path in root.rglob("*.parquet")}


def test_a_plan_is_done_as_it_says(settings: dict[str, Any]) -> None:
    told = preview(opened(settings))
    report = reindex(settings, plan=json.dumps(told.to_dict()))
    assert counts(report) == {"new": 1, "unchanged": 12, "embedded": 1, "upserted": 1}
    assert (told.new, told.unchanged, told.to_embed, told.to_upsert) == (1, 12, 1, 1)
    assert "red-9.jpg" in rows_of(settings)


def test_the_first_plan_of_a_corpus_is_done_too(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    plan = plan_of(settings)
    assert reindex(settings, plan=plan)["upserted"] == 12
    with pytest.raises(RefusedError, match="another index is live"):
        reindex(settings, plan=plan)


def test_a_plan_brings_its_own_options(settings: dict[str, Any], images: Path) -> None:
    for path in list(images.iterdir())[:4]:
        path.unlink()
    plan = plan_of(settings, allow_deletes=True)
    with pytest.raises(ConfigError, match="`plan` brings its own options"):
        reindex(settings, plan=plan, limit=1)
    assert reindex(settings, plan=plan)["deleted"] + len(list(images.iterdir())) >= 12


def test_a_plan_that_the_guards_refuse_is_refused_by_them(settings: dict[str, Any], images: Path) -> None:
    for path in list(images.glob("blue*")):
        path.unlink()
    with pytest.raises(RefusedError, match="delete_guard"):
        reindex(settings, plan=plan_of(settings))


def add(settings: dict[str, Any], images: Path) -> None:
    paint(images / "blue-9.jpg", "blue", 9)
    paint(images / "blue-8.jpg", "blue", 8)


def change_bytes(settings: dict[str, Any], images: Path) -> None:
    paint(images / "green-0.jpg", "green", 99)


def take_away(settings: dict[str, Any], images: Path) -> None:
    (images / "red-9.jpg").unlink()


def relabel(settings: dict[str, Any], images: Path) -> dict[str, Any]:
    return settings | {"source": settings["source"] | {"metadata": "^(?P<colour>[^-]+)-"}}


def run_otherwise(settings: dict[str, Any], images: Path) -> None:
    reindex(settings)


def go_live_elsewhere(settings: dict[str, Any], images: Path) -> None:
    corpus = opened(settings)
    alias, tag = corpus.alias()
    assert alias.live is not None
    live = replace(alias.live, name="elsewhere")
    write_alias(corpus.store, corpus.paths.alias, alias.with_live(live, "2026-01-01T00:00:00+00:00", "r"), tag)


def keep_another(settings: dict[str, Any], images: Path) -> None:
    keep_true(settings, replace(opened(settings).target.entry, name="kept"))


def empty(settings: dict[str, Any], images: Path) -> None:
    opened(settings).target.index.drop()


MOVES: dict[str, tuple[Move, str]] = {
    "items added": (add, r"2 items changed since: blue-8\.jpg, blue-9\.jpg"),
    "other bytes": (change_bytes, r"1 item changed since: green-0\.jpg"),
    "an item gone": (take_away, "1 item of the plan changed back since, or went"),
    "other labels": (relabel, r"the config's `source` is another one; 13 items changed since: blue-0\.jpg, .*, …"),
    "another run": (run_otherwise, r"the checkpoint of model key \w+ moved on; the ledger of index .* moved on"),
    "another live index": (go_live_elsewhere, "another index is live: lance:elsewhere"),
    "another kept index": (keep_another, "other indexes are to be brought true: .* lance:kept / test, and by the plan"),
    "an emptied index": (empty, "rows to upsert 12, by the plan 0"),
    "other settings": (lambda made, _: made | {"run": {"part_rows": 6}}, "the config's `run` is another one"),
}


@pytest.mark.parametrize("move", MOVES)
def test_where_anything_moved_it_is_named_and_nothing_is_changed(
    settings: dict[str, Any], images: Path, move: str
) -> None:
    plan = plan_of(settings)
    happen, words = MOVES[move]
    after = happen(settings, images) or settings
    before = state_of(settings)
    with pytest.raises(RefusedError, match=words) as refused:
        reindex(after, plan=plan)
    assert refused.value.exit_code == 3
    assert "Nothing was changed" in str(refused.value)
    if move != "an emptied index":  # that the ledger is void is noted by every run that finds it
        assert state_of(settings) == before


def test_a_plan_of_several_targets_is_done_for_all_and_the_bars_have_its_totals(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_another(settings, Path())
    heard = Totals()
    monkeypatch.setattr(module, "current_progress", lambda *_: heard)
    told = preview(opened(settings))
    report = reindex(settings, plan=json.dumps(told.to_dict()))
    assert [row["upserted"] for row in report["targets"]] == [one.to_upsert for one in told.targets] == [1, 13]
    assert heard.totals["embed"] == {told.estimate.images} == {1}
    assert heard.totals["upsert"] == {told.estimate.rows} == {14}
    assert (heard.done["embed"], heard.done["upsert"]) == (1, 14)


class Totals(Heard):
    """Keeps the totals that a run shows of each stage."""

    def __init__(self) -> None:
        super().__init__()
        self.totals: dict[str, set[int | None]] = {}

    def start(self, stage: str, total: int | None) -> None:
        self.totals.setdefault(stage, set()).add(total)
