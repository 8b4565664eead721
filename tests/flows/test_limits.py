"""A limited run is a trial: it makes nothing live, and the current listing is always one that the guards let pass."""

from pathlib import Path
from typing import Any

import pytest

from flows.reindex import reindex
from flows.upsert import upsert
from flows.verify import verify
from pinery.errors import ConfigError, RefusedError
from pinery.search.query import Query, search
from pinery.steps.preview import preview
from pinery.steps.status import status
from tests.corpora import config
from tests.filled import opened


def live(settings: dict[str, Any]) -> Any:
    return status(opened(settings)).to_dict()["live"]


def test_a_first_limited_run_can_be_searched_and_verified_and_makes_nothing_live(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    report = reindex(settings, limit=5)
    assert live(settings) is None
    answer = search(opened(settings), Query(id="blue-0.jpg"))
    assert len(answer.matches) == 5
    assert all(match.uri for match in answer.matches)
    assert (verify(settings)["expected"], verify(settings)["awaited"]) == (5, 7)
    upsert(settings)
    assert live(settings) is None, "seven items have never been embedded"
    assert reindex(settings)["embedded"] == 7
    assert live(settings)["index"] == report["index"]


def test_a_trial_in_another_index_leaves_the_live_one_live(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    index = reindex(settings)["index"]
    report = reindex(settings | {"index": {"kind": "lance", "name": "trial"}}, limit=2)
    assert (report["upserted"], report["index"]) == (2, "trial")
    assert live(settings)["index"] == index
    assert len(search(opened(settings), Query(id="red-3.jpg", top_k=12)).matches) == 12


def test_a_listing_that_the_guards_refuse_is_not_published_by_a_limited_run(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    for path in sorted(images.iterdir())[3:]:
        path.unlink()
    for limit in (None, 1):
        with pytest.raises(RefusedError, match=r"9 of the 12 rows .* `allow_deletes`"):
            reindex(settings, limit=limit)
        assert preview(opened(settings), limit).to_dict()["refused"]
    found = verify(settings)
    assert (found["expected"], found["held"], found["extra"]) == (12, 12, 0)
    assert all(match.uri for match in search(opened(settings), Query(id="red-3.jpg")).matches)


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one_is_refused_before_any_work(images: Path, tmp_path: Path, limit: int) -> None:
    settings = config(images, tmp_path / "state")
    with pytest.raises(ConfigError, match=f"at least 1, not {limit}"):
        reindex(settings, limit=limit)
    with pytest.raises(ConfigError, match=f"at least 1, not {limit}"):
        preview(opened(settings), limit)
    assert not (tmp_path / "state").exists()
