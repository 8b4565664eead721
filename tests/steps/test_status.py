"""The state of a corpus is reported without a model, an index or a lease."""

import json
from pathlib import Path
from typing import Any

import pytest

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
    assert told["live"] == {"kind": "lance", "index": entry.name, "namespace": "test"}
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
