"""Metadata that goes wrong at its source: a sidecar that was half written, a row that no index takes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.reindex import reindex
from flows.verify import verify
from pinery.errors import RefusedError
from pinery.steps.preview import preview
from pinery.steps.status import status
from tests.corpora import config, paint
from tests.filled import opened, rows_of


def with_sidecar(images: Path, state: Path, sidecar: Path) -> dict[str, Any]:
    return config(images, state, source={"kind": "folder", "path": str(images), "sidecar": str(sidecar)})


@pytest.fixture
def shelved(tmp_path: Path) -> tuple[dict[str, Any], Path]:
    """Thirty rows in an index, each with the shelf that its sidecar names."""
    images, sidecar = tmp_path / "images", tmp_path / "shelves.csv"
    for number in range(30):
        paint(images / f"red-{number:02}.jpg", "red", number)
    sidecar.write_text("id,shelf,room\n" + "".join(f"red-{n:02}.jpg,s{n},r{n}\n" for n in range(30)))
    settings = with_sidecar(images, tmp_path / "state", sidecar) | {"run": {"part_rows": 50}}
    reindex(settings)
    return settings, sidecar


def cut(text: str) -> str:
    return text[: text.index("\n", len(text) // 10) + 1]


def header(text: str) -> str:
    return text.partition("\n")[0] + "\n"


def without_a_column(text: str) -> str:
    return "\n".join(line.rpartition(",")[0] for line in text.splitlines()) + "\n"


@pytest.mark.parametrize("damage", [cut, header, without_a_column], ids=lambda damage: damage.__name__)
def test_a_sidecar_that_lost_its_rows_takes_no_labels_off_the_index(
    shelved: tuple[dict[str, Any], Path], damage: Callable[[str], str]
) -> None:
    settings, sidecar = shelved
    before, whole = rows_of(settings), sidecar.read_text()
    sidecar.write_text(damage(whole))
    for limit in (None, 2):
        with pytest.raises(RefusedError, match=r"of the 30 rows .* would lose metadata \(room.*`allow_changes`"):
            reindex(settings, limit=limit)
    assert "relabel_guard" in preview(opened(settings), None).to_dict()["refused"][0]
    assert rows_of(settings) == before
    sidecar.write_text(whole)
    assert reindex(settings)["unchanged"] == 30


def test_labels_are_taken_off_where_that_is_allowed(shelved: tuple[dict[str, Any], Path]) -> None:
    settings, sidecar = shelved
    sidecar.write_text(header(sidecar.read_text()))
    assert reindex(settings, allow_changes=True)["relabelled"] == 30
    assert rows_of(settings)["red-07.jpg"].metadata == {}


BAD = {"infinity": "id,score\nred-1.jpg,inf\nred-2.jpg,0.5\n", "too large": f"id,score\nred-1.jpg,{'x' * 41000}\n"}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_row_of_metadata_that_no_index_takes_costs_that_row(images: Path, tmp_path: Path, text: str) -> None:
    sidecar = tmp_path / "scores.csv"
    settings = with_sidecar(images, tmp_path / "state", sidecar)
    sidecar.write_text(text)
    report = reindex(settings)
    assert (report["embedded"], report["upserted"], report["rejected"]) == (12, 11, 1)
    assert "red-1.jpg" not in rows_of(settings)
    [row] = status(opened(settings)).to_dict()["rejected"]
    assert row["id"] == "red-1.jpg"
    assert "score" in row["reason"] or "41,0" in row["reason"]
    assert verify(settings)["expected"] == 11
    assert reindex(settings)["rejected"] == 1
    sidecar.write_text("id,score\nred-1.jpg,0.25\n")
    report = reindex(settings)
    assert (report["embedded"], report["rejected"]) == (0, 0)
    assert rows_of(settings)["red-1.jpg"].metadata == {"score": 0.25}
    sidecar.write_text(text)
    assert reindex(settings)["deleted"] == 1, "a fresh index would not have it either"
