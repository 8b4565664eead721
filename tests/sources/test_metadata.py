"""Metadata: where it comes from, and that only what an index takes comes out."""

import datetime
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinery.errors import ConfigError
from pinery.source_kinds import FolderSource
from pinery.sources.found import Found
from pinery.sources.metadata import MAX_METADATA_BYTES, Describer, clean, from_parent, from_pattern


def describer(**settings: Any) -> Describer:
    return Describer(FolderSource(kind="folder", path="/images", **settings))


def test_the_parent_folder_is_the_label() -> None:
    assert from_parent("animals/cat/1.jpg") == {"label": "cat"}
    assert from_parent("1.jpg") == {}


def test_named_groups_are_metadata() -> None:
    pattern = re.compile(r"^(?P<label>[^-]+)-(?P<number>\d+)(?P<side>l|r)?")
    assert from_pattern("cat-07.jpg", pattern) == {"label": "cat", "number": "07"}
    assert from_pattern("cat.jpg", pattern) == {}


@pytest.mark.parametrize(
    ("value", "json_text"),
    [
        ("Flabébé", '"Flabébé"'),
        (3, "3"),
        (2.5, "2.5"),
        (True, "true"),
        (np.int64(3), "3"),
        (np.float32(0.5), "0.5"),
        (np.bool_(False), "false"),
        (np.str_("x"), '"x"'),
        (["a", "b"], '["a","b"]'),
        ([1, 2.5, True, None, "x"], '["1","2.5","true","x"]'),
        (np.array([1, 2]), '["1","2"]'),
        ((), "[]"),
        (datetime.date(2024, 2, 29), '"2024-02-29"'),
        (datetime.datetime(2024, 2, 29, 12, 30), '"2024-02-29T12:30:00"'),
        (np.datetime64("2024-02-29"), '"2024-02-29"'),
    ],
)
def test_a_value_becomes_what_an_index_takes(value: object, json_text: str) -> None:
    assert clean({"x": value}) == f'{{"x":{json_text}}}'


@pytest.mark.parametrize("value", [None, math.nan, np.float32("nan"), np.datetime64("NaT")])
def test_no_value_is_left_out(value: object) -> None:
    assert clean({"gone": value, "kept": 1}) == '{"kept":1}'


@pytest.mark.parametrize("value", [{"a": 1}, [["a"]], b"bytes", math.inf, 2**53 + 1, "\ud800", object()])
def test_an_unfit_value_is_named_with_its_item(value: object) -> None:
    with pytest.raises(ConfigError, match=r"item 'cat-1'.*shape"):
        clean({"shape": value}, "cat-1")


@pytest.mark.parametrize("name", ["$label", "", 7])
def test_an_unfit_name_is_refused(name: Any) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"column {name!r}")):
        clean({name: 1}, "cat-1")


def test_the_limit_counts_bytes_of_utf8() -> None:
    room = (MAX_METADATA_BYTES - len('{"x":""}')) // 2
    assert len(clean({"x": "é" * room}).encode()) == MAX_METADATA_BYTES
    with pytest.raises(ConfigError, match=r"'cat-1' has 40,962 bytes.*40,960"):
        clean({"x": "é" * (room + 1)}, "cat-1")


@given(st.dictionaries(st.text("abcd", min_size=1), st.text(st.characters(exclude_categories=["Cs"])) | st.booleans()))
def test_the_text_is_canonical(metadata: dict[str, Any]) -> None:
    text = clean(metadata)
    assert json.loads(text) == metadata
    assert text == clean(dict(reversed(metadata.items())))


def test_the_sidecar_goes_over_the_key_and_the_key_over_the_known(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("id,label\na/1.jpg,from sidecar\n")
    describe = describer(metadata="parent", sidecar=str(tmp_path / "s.csv"))
    found = [Found(key, "", "v1", 1, {"label": "known", "more": 1}) for key in ("a/1.jpg", "a/2.jpg", "2.jpg")]
    assert [(item.id, item.metadata) for item in describe.items(found)] == [
        ("a/1.jpg", '{"label":"from sidecar","more":1}'),
        ("a/2.jpg", '{"label":"a","more":1}'),
        ("2.jpg", '{"label":"known","more":1}'),
    ]
    [bare] = describer().items([Found("2.jpg", "", "v1", 1)])
    assert (bare.id, bare.metadata) == ("2.jpg", "{}")
