"""A preview counts what a run would do, and changes nothing."""

from pathlib import Path
from typing import Any

import pytest

from pinery.errors import ConfigError
from pinery.steps.preview import preview
from tests.corpora import config
from tests.filled import opened


@pytest.mark.parametrize("version", ["stat", "content"])
def test_before_the_first_run_all_is_new_and_no_state_is_made(images: Path, tmp_path: Path, version: str) -> None:
    source = {"kind": "folder", "path": str(images), "version": version}
    told = preview(opened(config(images, tmp_path / "state", source=source)), None)
    assert (told.listed, told.new, told.to_embed, told.to_upsert) == (12, 12, 12, 12)
    assert (told.model_key, told.index, told.refused, told.estimate.embed_seconds) == (None, None, (), None)
    assert not (tmp_path / "state").exists()


def test_with_nothing_to_do_nothing_is_counted_and_the_state_stays_as_it_is(filled: dict[str, Any]) -> None:
    before = sorted(path for path in Path(filled["state"]).rglob("*.parquet"))
    told = preview(opened(filled), None)
    assert (told.listed, told.unchanged, told.to_embed, told.to_upsert, told.refused) == (12, 12, 0, 0, ())
    assert told.model_key == opened(filled).target.card.key
    assert sorted(path for path in Path(filled["state"]).rglob("*.parquet")) == before


def test_a_limit_is_counted_and_one_that_can_not_be_is_refused(filled: dict[str, Any]) -> None:
    fresh = filled | {"namespace": "fresh"}
    told = preview(opened(fresh), 3)
    assert (told.listed, told.to_upsert, told.limited) == (12, 3, 3)
    with pytest.raises(ConfigError, match="`limit` 13 is above the 12 items"):
        preview(opened(fresh), 13)


def test_what_a_run_would_be_refused_for_is_told_and_no_error(filled: dict[str, Any]) -> None:
    opened(filled).target.index.leave_mark("99-deadbeef")
    [reason] = preview(opened(filled), None).refused
    assert "another copy of this state, under lease epoch 99" in reason


def test_an_emptied_index_is_written_again_as_a_whole(filled: dict[str, Any]) -> None:
    opened(filled).target.index.drop()
    assert preview(opened(filled), None).to_upsert == 12
