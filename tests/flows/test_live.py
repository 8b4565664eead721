"""Going live takes the place of what was live when the run began; what was live before is named until it is removed."""

from pathlib import Path
from typing import Any

import pytest

from flows.reindex import reindex
from pinery.corpus.progress import Silent
from pinery.errors import RefusedError
from pinery.steps.remove import remove
from pinery.steps.status import status
from tests.corpora import config, paint
from tests.filled import opened
from tests.flows.conftest import AfterPlanning


def test_of_two_models_that_began_before_anything_was_live_the_first_to_end_stays_live(
    images: Path, tmp_path: Path, after_planning: AfterPlanning
) -> None:
    one = config(images, tmp_path / "state", model={"name": "descriptor", "decode": "exact"})
    two = one | {"model": {"name": "descriptor", "decode": "scaled"}}
    reports: list[dict[str, Any]] = []
    after_planning(lambda: reports.append(reindex(two)))
    with pytest.raises(RefusedError, match="didn't go live") as caught:
        reindex(one)
    live = status(opened(two)).to_dict()["live"]["index"]
    assert live == reports[0]["index"]
    assert live in str(caught.value)
    assert reindex(two)["unchanged"] == 12
    with pytest.raises(RefusedError, match="never mixed: `pinery backfill`"):
        reindex(one)


def test_an_index_that_lacks_what_moved_takes_no_live_ones_place(
    images: Path, tmp_path: Path, after_planning: AfterPlanning
) -> None:
    """The live index keeps the rows of items that moved, and a fresh one can't have them."""
    old = config(images, tmp_path / "state")
    fresh = old | {"index": {"kind": "lance", "name": "fresh"}}
    live = reindex(old)["index"]
    moving = sorted(images.iterdir())[:6]

    def repaint(first: int) -> None:
        for number, path in enumerate(moving, first):
            paint(path, "blue", number)

    repaint(100)
    after_planning(lambda: repaint(200))
    paint(images / "green-9.jpg", "green", 9)
    with pytest.raises(RefusedError, match=rf"fresh / test lacks 6 of the 13 .* lance:{live} / test stays live"):
        reindex(fresh)
    assert status(opened(old)).to_dict()["live"]["index"] == live
    report = reindex(fresh)
    assert (report["index"], report["embedded"], report["awaited"]) == ("fresh", 6, 0)
    assert status(opened(old)).to_dict()["live"]["index"] == "fresh"


def test_a_namespace_that_was_left_is_named_with_the_command_that_removes_it(images: Path, tmp_path: Path) -> None:
    old = config(images, tmp_path / "state", namespace="old")
    new = old | {"namespace": "new place"}
    assert reindex(old)["retired"] == []
    [left] = reindex(new)["retired"]
    assert (left["namespace"], left["remove"]) == ("old", "pinery remove CONFIG --set namespace=old")
    assert status(opened(new)).to_dict()["retired"] == [left]
    remove(opened(old), really=True, progress=Silent())
    assert status(opened(new)).to_dict()["retired"] == []
    [back] = reindex(old)["retired"]
    assert back["remove"] == "pinery remove CONFIG --set 'namespace=new place'"
