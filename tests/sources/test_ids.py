"""Ids: what an index takes, and never the same for two keys."""

import hashlib
import os
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinery.errors import ConfigError
from pinery.sources.ids import MAX_ID_LENGTH, item_id, readable

names = st.binary(min_size=1, max_size=700).map(os.fsdecode) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=600
)


@pytest.mark.parametrize(
    ("key", "id"),
    [
        ("a/b-c_1.~.jpg", "a/b-c_1.~.jpg"),
        ("Mr. Mime (1)+#?.jpg", "Mr. Mime (1)+#?.jpg"),
        ("Flabébé.jpg", "Flab%C3%A9b%C3%A9.jpg"),
        ("100%.jpg", "100%25.jpg"),
        ("tab\tnull\x00del\x7f", "tab%09null%00del%7F"),
        ("図.png", "%E5%9B%B3.png"),
        ("caf\udce9", "caf%E9"),
    ],
)
def test_readable_keys_stay_readable(key: str, id: str) -> None:
    assert item_id(key, "key") == id


@given(names)
def test_every_id_is_what_an_index_takes(key: str) -> None:
    for how in ("key", "md5-path"):
        id = item_id(key, how)
        assert 1 <= len(id) <= MAX_ID_LENGTH
        assert id.isascii()
        assert id.isprintable()


@given(names, names)
def test_two_keys_never_share_an_id(one: str, other: str) -> None:
    assert (item_id(one, "key") == item_id(other, "key")) == (one == other)
    # An id taken as a key is a key too, and the likeliest one to collide.
    assert item_id(item_id(one, "key"), "key") != item_id(one, "key") or item_id(one, "key") == one


@given(names)
def test_a_short_id_decodes_to_its_key(key: str) -> None:
    id = item_id(key, "key")
    if "%~" not in id:
        assert os.fsdecode(unquote_to_bytes(id)) == key


def test_long_keys_that_differ_in_the_tail_alone_differ() -> None:
    ids = {item_id("é" * 300 + tail, "key") for tail in ["1", "2", ""]}
    assert len(ids) == 3
    assert all(len(id) in range(500, 513) and id.startswith("%C3%A9" * 70) for id in ids)


def test_md5_is_of_the_utf8() -> None:
    assert item_id("é.jpg", "md5-path") == hashlib.md5("é.jpg".encode()).hexdigest()


def test_an_empty_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="empty key"):
        item_id("", "key")


@given(names)
def test_a_readable_key_is_valid_unicode(key: str) -> None:
    assert readable(key).encode()
