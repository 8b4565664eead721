"""Items that change or vanish between listing and embedding: what the index has of them stays for now."""

import shutil
from pathlib import Path

import pytest

from flows.reindex import reindex
from flows.verify import verify
from pinery.errors import TerminalError, TransientError
from pinery.steps.status import status
from tasks.embed_part import embed_part
from tests.corpora import config, paint
from tests.filled import opened, rows_of
from tests.flows.conftest import AfterPlanning

KINDS = ("missing", "extra", "stale", "wrong", "wrong_metadata")


def repaint(images: Path, first: int) -> None:
    for number, path in enumerate(sorted(images.iterdir())):
        paint(path, "red", first + number)


def test_a_run_in_which_everything_moved_is_no_success_and_deletes_nothing(
    images: Path, tmp_path: Path, after_planning: AfterPlanning
) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    before = rows_of(settings)
    repaint(images, 100)
    after_planning(lambda: repaint(images, 200))
    with pytest.raises(TerminalError, match=r"all 12 images .* changed or vanished"):
        reindex(settings)
    assert rows_of(settings) == before
    told = status(opened(settings)).to_dict()
    assert (told["awaited"], told["last_run"]["moved"], told["last_run"]["state"]) == (12, 12, "failed")
    found = verify(settings)
    assert found["awaited"] == 12
    assert not any(found[kind] for kind in KINDS)
    report = reindex(settings)
    assert (report["changed"], report["embedded"], report["moved"], report["awaited"]) == (12, 12, 0, 0)
    assert all(rows_of(settings)[id].values != before[id].values for id in before)


def test_what_the_index_holds_of_an_item_that_moved_stays_until_it_is_listed_as_it_is(
    images: Path, tmp_path: Path, after_planning: AfterPlanning
) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    before = rows_of(settings)
    for number in range(4):
        paint(images / f"red-{number}.jpg", "red", 100 + number)

    def move() -> None:
        for number in range(3):
            (images / f"red-{number}.jpg").unlink()

    after_planning(move)
    report = reindex(settings)
    assert (report["moved"], report["embedded"], report["deleted"], report["awaited"]) == (3, 1, 0, 3)
    assert rows_of(settings).keys() == before.keys()
    assert rows_of(settings)["red-0.jpg"] == before["red-0.jpg"]
    assert not any(verify(settings, full=True)[kind] for kind in KINDS)
    report = reindex(settings, allow_deletes=True)
    assert (report["deleted"], report["awaited"]) == (3, 0)
    assert len(rows_of(settings)) == 9


def test_new_items_that_all_vanish_are_no_success(images: Path, tmp_path: Path, after_planning: AfterPlanning) -> None:
    settings = config(images, tmp_path / "state")
    reindex(settings)
    paint(images / "blue-9.jpg", "blue", 9)
    after_planning((images / "blue-9.jpg").unlink)
    with pytest.raises(TerminalError, match=r"all 1 images .* Nothing was deleted"):
        reindex(settings)
    assert len(rows_of(settings)) == 12
    assert reindex(settings)["unchanged"] == 12


@pytest.mark.parametrize("left", ["nothing", "another folder"])
def test_a_folder_that_goes_away_amid_a_run_is_a_fault_of_the_run(
    images: Path, tmp_path: Path, after_planning: AfterPlanning, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    monkeypatch.setattr("flows.embed_and_upsert.embed_part", embed_part.with_options(retries=0))
    settings = config(images, tmp_path / "state")
    reindex(settings)
    before = rows_of(settings)
    repaint(images, 100)

    def unmount() -> None:
        images.rename(tmp_path / "away")
        if left == "another folder":
            images.mkdir()

    after_planning(unmount)
    with pytest.raises(TransientError, match="went away"):
        reindex(settings)
    assert rows_of(settings) == before
    shutil.rmtree(images, ignore_errors=True)
    (tmp_path / "away").rename(images)
    assert reindex(settings)["embedded"] == 12
