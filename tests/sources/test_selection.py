"""Messages about items that a listing left out."""

import importlib.util
from pathlib import Path

import pytest

from pinery.source_kinds import FolderSource
from pinery.sources.folder import Folder
from pinery.sources.selection import MAX_KINDS, LeftOut, left_out_line
from tests.corpora import listed_items


def test_one_line_tells_the_kinds_and_what_to_do() -> None:
    assert left_out_line({}) == ""
    assert left_out_line({".heic": 8, ".raw": 4}) == (
        "12 files left out: .heic 8, .raw 4 (HEIC is decoded once `pip install pillow-heif` was run;"
        " `source.suffixes` takes others)"
    )
    assert left_out_line({"hidden": 1}) == "1 file left out: hidden 1"
    assert "`source.exclude`" in left_out_line({"unreadable": 1})
    assert "restore" in left_out_line({"archived (GLACIER)": 1})
    assert left_out_line({f".{n}": 1 for n in range(20)}).startswith("20 files left out: .0 1, .1 1, ")
    assert ", others 12 (" in left_out_line({f".{n}": 1 for n in range(20)})


def test_the_number_of_kinds_has_a_limit() -> None:
    left_out = LeftOut()
    for number in range(1000):
        left_out.count(f".{number}")
    assert len(left_out) == MAX_KINDS + 1
    assert sum(left_out.values()) == 1000


def test_heic_is_left_out_where_nothing_decodes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("1.jpg", "2.heic"):
        (tmp_path / name).write_bytes(b"bytes")
    find = importlib.util.find_spec
    for there, listed in ((True, ["1.jpg", "2.heic"]), (False, ["1.jpg"])):
        spec = find("json") if there else None
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, spec=spec: spec)
        source = Folder(FolderSource(kind="folder", path=str(tmp_path)))
        assert [item.id for item in listed_items(source)] == listed
        assert source.left_out == ({} if there else {".heic": 1})
