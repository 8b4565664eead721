"""The state of a corpus is reported without a model, an index or a lease."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pinery.checkpoint.alias import write_alias
from pinery.steps.status import status
from tests.corpora import config
from tests.filled import bring, holding, opened


def test_of_a_corpus_that_was_never_run_there_is_nothing_to_tell_and_nothing_is_made(
    images: Path, tmp_path: Path
) -> None:
    told = status(opened(config(images, tmp_path / "state"))).to_dict()
    assert (told["corpus"], told["model"], told["live"], told["last_run"], told["held"]) == (
        "test",
        None,
        None,
        None,
        0,
    )
    assert not (tmp_path / "state").exists()


def test_a_filled_corpus_is_told_with_what_is_live(made: dict[str, Any]) -> None:
    told = status(opened(made)).to_dict()
    entry = opened(made).target.entry
    names = {"kind": "lance", "index": entry.name, "namespace": "test"}
    assert told["live"] == names | {"model": "descriptor", "model_key": entry.card.key}
    assert (told["generation"], told["remark"]) == (1, "")
    assert told["kept"] == told["candidates"] == told["retired"] == []
    [row] = told["targets"]
    assert (row["role"], row["held"], row["vectors"], row["left"]) == ("live", 12, 12, told["left"])
    assert [(one["what"], one["live"]) for one in told["history"]] == [("run", entry.name)]
    assert [one["run"] for one in told["runs"]] == [told["last_run"]["run"]]
    assert (told["held"], told["parts"], told["awaited"], told["running"]) == (12, 3, 0, None)
    assert told["left"] == {"embed": 0, "upsert": 0, "delete": 0}
    assert told["last_run"]["state"] == "done"


def test_items_that_are_not_in_the_index_are_told_with_reasons(images: Path, tmp_path: Path) -> None:
    (images / "broken.jpg").write_bytes(b"no image")
    settings = config(images, tmp_path / "state")
    bring(settings)
    told = status(opened(settings)).to_dict()
    [bad] = told["quarantined"]
    assert bad["id"] == "broken.jpg"
    assert "not an image" in bad["reason"]
    assert (told["held"], told["rejected"]) == (12, [])


def test_a_run_under_way_is_told_and_one_that_died_is_called_dead(filled: dict[str, Any]) -> None:
    [path] = Path(filled["state"], "test", "runs").iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "running"}))
    assert status(opened(filled)).to_dict()["last_run"]["state"] == "died"
    with holding(filled) as held:
        assert status(opened(filled)).running == held.run.name


@pytest.mark.parametrize(("folder", "left"), [("ledger", {"upsert": 12}), ("parts", {"embed": 12})])
def test_what_the_next_run_has_to_do_is_counted(filled: dict[str, Any], folder: str, left: dict[str, int]) -> None:
    for path in Path(filled["state"], "test").rglob(f"{folder}/*.parquet"):
        path.unlink()
    assert status(opened(filled)).left == {"embed": 0, "upsert": 0, "delete": 0} | left


def test_every_target_is_told_with_its_dates_and_what_is_left_for_it(filled: dict[str, Any]) -> None:
    corpus = opened(filled)
    alias, tag = corpus.alias()
    assert alias.live is not None
    empty = replace(alias.live, name="empty", card=replace(alias.live.card, decoder="scaled"))
    kept, candidate = replace(empty, until="2999-01-01T00:00:00+00:00"), replace(empty, name="new", gate="undecided")
    retired = replace(empty, name="old", until="2020-01-01T00:00:00+00:00")
    changed = replace(alias, kept=[kept], candidates=[candidate, replace(candidate, name="newer", gate="")])
    write_alias(corpus.store, corpus.paths.alias, replace(changed, retired=[retired]), tag)
    told = status(opened(filled)).to_dict()
    assert [(row["role"], row["held"], row["vectors"], row["left"]["embed"]) for row in told["targets"]] == [
        ("live", 12, 12, 0),
        ("kept", 0, 0, 12),
        ("candidate", 0, 0, 12),
        ("candidate", 0, 0, 12),
    ]
    assert told["kept"][0]["until"] == kept.until
    assert [one["gate"] for one in told["candidates"]] == ["undecided", "not judged yet"]
    assert [(one["since"], one["remove"]) for one in told["retired"]] == [(retired.until, "pinery prune CONFIG --yes")]
    other = status(opened(filled | {"model": SCALED, "index": NEW}))
    assert "the config's model descriptor was never used in this state" in other.remark
    assert other.held == 12, "and what is live is told all the same"


SCALED = {"name": "descriptor", "decode": "scaled"}
NEW = {"kind": "lance", "name": "new"}
