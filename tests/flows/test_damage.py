"""A state with damaged, foreign or oddly named files: one clear error or none, and nothing written from damage."""

import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.reindex import reindex
from flows.verify import verify
from pinery.errors import DamagedError, DifferentError
from pinery.steps.status import status
from tests.corpora import config
from tests.filled import bring, opened
from tests.indexes.rows import batch


def held(settings: dict[str, Any]) -> dict[str, tuple[float, ...]]:
    index = opened(settings).target.index
    return {id: stored.values for page in index.list_ids() for id, stored in index.fetch(page).items()}


def bring_by_steps(settings: dict[str, Any]) -> dict[str, Any]:
    """A run as the flow's, with no Prefect."""
    return bring(settings).to_dict()


def flip_a_vector(part: Path) -> None:
    column = pq.read_metadata(part).row_group(0).column(3)
    data = bytearray(part.read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 8
    part.write_bytes(data)


def test_nothing_is_repaired_from_a_damaged_part_and_deleting_it_suffices(
    filled: dict[str, Any], tmp_path: Path
) -> None:
    good = held(filled)
    part = sorted((tmp_path / "state").glob("test/*/parts/part-00000001.parquet"))[0]
    flip_a_vector(part)
    opened(filled).target.index.upsert(batch(["green-1.jpg"], [[9.0] * 512], [{"label": "green"}]))
    with pytest.raises(DamagedError, match=f"{part} is damaged.*rm {part}"):
        verify(filled, full=True, repair=True)
    others = {id: values for id, values in held(filled).items() if id != "green-1.jpg"}
    assert others == {id: values for id, values in good.items() if id != "green-1.jpg"}

    part.unlink()
    report = reindex(filled)
    assert (report["embedded"], report["upserted"]) == (5, 5)
    assert held(filled) == good
    assert verify(filled, full=True)["checked"] == 12


def test_a_torn_entry_of_the_ledger_is_named_and_a_comparison_puts_things_right(
    filled: dict[str, Any], tmp_path: Path
) -> None:
    good = held(filled)
    for entry in (tmp_path / "state").glob("test/indexes/*/*/*/ledger/*.parquet"):
        entry.write_bytes(entry.read_bytes()[:200])
    for command in (lambda: reindex(filled), lambda: status(opened(filled)).to_dict()):
        with pytest.raises(DamagedError, match=r"rm .*/ledger/.* --full --repair"):
            command()
    for entry in (tmp_path / "state").glob("test/indexes/*/*/*/ledger/*.parquet"):
        entry.unlink()
    opened(filled).target.index.upsert(batch(["stray"], [[1.0] * 512], [{}]))
    with pytest.raises(DifferentError):
        verify(filled, full=True)
    verify(filled, full=True, repair=True)
    assert held(filled) == good


@pytest.mark.parametrize("text", ["", "{", "[]", '{"other": 1}', "\0" * 64])
@pytest.mark.parametrize(
    "place",
    [
        "test/alias.json",
        "models/*.json",
        "owners/lance/*/*.json",
        "test/indexes/*/*/*/identity.json",
        "lance/*/pinery.json",
    ],
)
def test_damaged_json_is_named_with_what_to_do_and_following_that_suffices(
    filled: dict[str, Any], tmp_path: Path, place: str, text: str
) -> None:
    run = reindex if text == "{" else bring_by_steps
    good = held(filled)
    if place.startswith("models"):
        (tmp_path / "state/test/alias.json").unlink()  # which knows the card too
    [path] = (tmp_path / "state").glob(place)
    path.write_text(text)
    with pytest.raises(DamagedError, match=f"{re.escape(str(path))} is damaged.* To go on, delete"):
        run(filled)
    if place.startswith("lance"):
        shutil.rmtree(path.parent)
    else:
        path.unlink()
    if "identity" in place:
        verify(filled, full=True, repair=True)
    report = run(filled)
    assert (report["embedded"], report["verified"]) == (0, True)
    assert held(filled) == good


def test_a_damaged_report_ends_status_with_its_name_and_no_run(filled: dict[str, Any], tmp_path: Path) -> None:
    [path] = (tmp_path / "state").glob("test/runs/*.json")
    path.write_text("{")
    with pytest.raises(DamagedError, match=f"{path.name} is damaged.*rm .*history"):
        status(opened(filled))
    assert reindex(filled)["unchanged"] == 12
    assert status(opened(filled)).to_dict()["held"] == 12


def test_files_of_other_programs_disturb_no_run(filled: dict[str, Any], tmp_path: Path) -> None:
    folders = [path for path in (tmp_path / "state" / "test").rglob("*") if path.is_dir()]
    for folder in folders:
        (folder / "desktop.ini").write_bytes(b"[.ShellClassInfo]")
        for file in list(folder.glob("*.parquet")):
            shutil.copy(file, folder / f"{file.stem} (conflicted copy).parquet")
    assert reindex(filled)["unchanged"] == 12
    assert status(opened(filled)).to_dict()["held"] == 12
    assert all((folder / "desktop.ini").exists() for folder in folders), "what isn't Pinery's stays"


@pytest.mark.parametrize("name", ["photos [2024]/version=2", "q?/it's 100% *odd*\\"])
def test_a_state_may_lie_in_any_folder(images: Path, tmp_path: Path, name: str) -> None:
    settings = config(images, tmp_path / name, namespace="..")
    assert reindex(settings)["embedded"] == 12
    assert reindex(settings)["unchanged"] == 12
    assert verify(settings, full=True)["checked"] == 12


def test_the_same_bytes_are_embedded_once(images: Path, tmp_path: Path) -> None:
    for number in range(7):
        shutil.copy(images / "red-0.jpg", images / f"red-copy-{number}.jpg")
    settings = config(images, tmp_path / "state")
    report = reindex(settings)
    assert (report["embedded"], report["reused"], report["upserted"]) == (12, 7, 19)
    vectors = held(settings)
    assert {vectors[f"red-copy-{number}.jpg"] for number in range(7)} == {vectors["red-0.jpg"]}
