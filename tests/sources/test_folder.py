"""The folder source: what it lists, how it tells versions apart, and what fetching refuses."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pinery.errors import (
    AccessDeniedError,
    BadImageError,
    ConfigError,
    ItemDeniedError,
    MovedError,
    TransientError,
)
from pinery.records import Item
from pinery.source_kinds import FolderSource
from pinery.sources import open_source
from pinery.sources.folder import Folder
from pinery.sources.protocol import NoPast, Past
from tests.corpora import listed_items

LIMIT = 1000
LONG_AGO = 1_600_000_000_000_000_000


def write(path: Path, data: bytes = b"bytes of an image") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


class Cached(NoPast):
    """No past but a cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def cache(self) -> Path:
        return self.folder


def folder(path: Path, past: Past | None = None, **settings: Any) -> Folder:
    source = open_source(FolderSource.model_validate({"kind": "folder", "path": str(path), **settings}), past)
    assert isinstance(source, Folder)
    return source


def ids(source: Folder) -> list[str]:
    return [item.id for item in listed_items(source)]


def test_lists_images_recursively_and_sorted(tmp_path: Path) -> None:
    names = ["b.jpg", "a/2.PNG", "a/1.jpeg", "a/b/c.webp", "d.gif", "e.bmp", "f.tif", "g.TIFF", "h.JPG"]
    for name in [*names, "notes.txt", "jpg", ".hidden.jpg", ".git/x.jpg", "a/.cache/y.png"]:
        write(tmp_path / name)
    assert ids(folder(tmp_path)) == [
        "a/1.jpeg", "a/2.PNG", "a/b/c.webp", "b.jpg", "d.gif", "e.bmp", "f.tif", "g.TIFF", "h.JPG",
    ]  # fmt: skip


def test_an_item_says_where_it_is_and_what_its_bytes_are(tmp_path: Path) -> None:
    path = write(tmp_path / "Mr. Mime" / "ä#1?.jpg", b"12345")
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    [item] = listed_items(folder(tmp_path, metadata="parent"))
    assert item == Item(
        id="Mr. Mime/%C3%A4#1?.jpg",
        uri=f"file://{tmp_path}/Mr.%20Mime/%C3%A4%231%3F.jpg",
        version="5-1700000000123456789",
        bytes=5,
        metadata='{"label":"Mr. Mime"}',
    )
    assert folder(tmp_path).fetch(item.uri, item.version, LIMIT) == b"12345"


def test_settings_give_labels_by_pattern_and_ids_by_md5(tmp_path: Path) -> None:
    write(tmp_path / "cat-01.jpg")
    [item] = listed_items(folder(tmp_path, metadata="^(?P<label>[^-]+)-", ids="md5-path"))
    assert (item.id, item.metadata) == (hashlib.md5(b"cat-01.jpg").hexdigest(), '{"label":"cat"}')


def test_a_name_that_is_no_utf8_is_listed_and_fetched(tmp_path: Path) -> None:
    for name in [b"caf\xe9-1.jpg", b"caf%E9-1.jpg"]:
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            file.write(name)
    source = folder(tmp_path, metadata="^(?P<label>[^-]+)-")
    items = listed_items(source)
    assert [item.id for item in items] == ["caf%25E9-1.jpg", "caf%E9-1.jpg"]
    assert [json.loads(item.metadata)["label"] for item in items] == ["caf%E9", "caf%E9"]
    assert source.fetch(items[1].uri, items[1].version, LIMIT) == b"caf\xe9-1.jpg"


def test_links_are_followed_only_within_the_folder(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", write(tmp_path / "outside" / "secret.jpg")
    target = write(root / "real" / "1.jpg")
    (root / "link.jpg").symlink_to(target)
    (root / "linked").symlink_to("real")
    (root / "out.jpg").symlink_to(outside)
    (root / "out").symlink_to(outside.parent)
    (root / "dangling.jpg").symlink_to(root / "nothing.jpg")
    (root / "self.jpg").symlink_to(root / "self.jpg")
    source = folder(root)
    assert ids(source) == ["link.jpg", "linked/1.jpg", "real/1.jpg"]
    assert source.left_out == {"links that lead out of the folder": 2}


def test_cycles_of_links_end(tmp_path: Path) -> None:
    for name in "abcdefgh":
        write(tmp_path / name / "1.jpg")
        for other in "abcdefgh":
            (tmp_path / name / f"to-{other}").symlink_to(tmp_path / other)
        (tmp_path / name / "up").symlink_to(tmp_path)
    listed = ids(folder(tmp_path))
    assert len(listed) == len(set(listed)) == 8 + 8 * 7


def test_an_image_that_became_a_link_to_the_outside_is_not_read(tmp_path: Path) -> None:
    secret, path = write(tmp_path / "secret.jpg"), write(tmp_path / "root" / "1.jpg")
    source = folder(tmp_path / "root")
    [item] = listed_items(source)
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(MovedError, match="leads out"):
        source.fetch(item.uri, item.version, LIMIT)


@pytest.mark.parametrize("version", ["stat", "content"])
def test_fetch_refuses_what_changed_or_vanished(tmp_path: Path, version: str) -> None:
    path = write(tmp_path / "1.jpg", b"one")
    source = folder(tmp_path, version=version)
    [item] = listed_items(source)
    assert source.fetch(item.uri, item.version, LIMIT) == b"one"
    path.write_bytes(b"two!")
    with pytest.raises(MovedError, match="changed since it was listed"):
        source.fetch(item.uri, item.version, LIMIT)
    path.unlink()
    with pytest.raises(MovedError, match="no longer there"):
        source.fetch(item.uri, item.version, LIMIT)
    path.mkdir()
    with pytest.raises(MovedError):
        source.fetch(item.uri, item.version, LIMIT)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(MovedError):
        source.fetch(item.uri, item.version, LIMIT)


@pytest.mark.parametrize("version", ["stat", "content"])
def test_fetch_refuses_what_is_too_large(tmp_path: Path, version: str) -> None:
    path = write(tmp_path / "1.jpg", b"x" * 2000)
    source = folder(tmp_path, version=version)
    [item] = listed_items(source)
    with pytest.raises(BadImageError, match=r"2,000 bytes.*1,999"):
        source.fetch(item.uri, item.version, 1999)
    assert len(source.fetch(item.uri, item.version, 2000)) == 2000
    path.write_bytes(b"y" * 3000)
    with pytest.raises(MovedError):
        source.fetch(item.uri, item.version, 1999)


def test_content_versions_follow_the_bytes_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "1.jpg", b"one")
    source = folder(tmp_path, version="content")
    [before] = listed_items(source)
    os.utime(path, ns=(0, LONG_AGO))
    [touched] = listed_items(source)
    path.write_bytes(b"two")
    [changed] = listed_items(source)
    assert before.version == touched.version == "sha256:" + hashlib.sha256(b"one").hexdigest()
    assert changed.version == "sha256:" + hashlib.sha256(b"two").hexdigest()


def test_only_files_whose_stat_moved_are_hashed_anew(tmp_path: Path) -> None:
    past = Cached(tmp_path / "cache")
    for name in ["moved.jpg", "same.jpg"]:
        os.utime(write(tmp_path / "root" / name, b"one"), ns=(0, LONG_AGO))
    first = {item.id: item.version for item in listed_items(folder(tmp_path / "root", past, version="content"))}
    with sqlite3.connect(past.folder / "hashes.sqlite") as db:
        assert db.execute("UPDATE hashes SET version = 'remembered'").rowcount == 2
    os.utime(tmp_path / "root" / "moved.jpg", ns=(0, LONG_AGO + 1))
    second = {item.id: item.version for item in listed_items(folder(tmp_path / "root", past, version="content"))}
    assert second == {"moved.jpg": first["moved.jpg"], "same.jpg": "remembered"}


def test_a_broken_cache_is_made_anew(tmp_path: Path) -> None:
    os.utime(write(tmp_path / "root" / "1.jpg", b"one"), ns=(0, LONG_AGO))
    write(tmp_path / "cache" / "hashes.sqlite", b"no database " * 100)
    source = folder(tmp_path / "root", Cached(tmp_path / "cache"), version="content")
    assert listed_items(source) == listed_items(source)


def test_the_hash_of_a_file_written_just_now_is_not_remembered(tmp_path: Path) -> None:
    path = write(tmp_path / "root" / "1.jpg", b"one")
    source = folder(tmp_path / "root", Cached(tmp_path / "cache"), version="content")
    [before] = listed_items(source)
    stat = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    [after] = listed_items(source)
    assert before.version != after.version


@pytest.mark.parametrize("name", ["nowhere", "file.jpg"])
def test_a_missing_folder_says_its_path_and_what_to_do(tmp_path: Path, name: str) -> None:
    write(tmp_path / "file.jpg")
    source = folder(tmp_path / name)
    for attempt in (source.check, lambda: listed_items(source)):
        with pytest.raises(ConfigError, match=rf"{tmp_path}/{name}.*source\.path"):
            attempt()


@pytest.mark.parametrize("left", ["nothing", "another folder"])
def test_a_file_that_is_gone_with_its_whole_folder_has_not_moved(tmp_path: Path, left: str) -> None:
    write(tmp_path / "root" / "1.jpg")
    source = folder(tmp_path / "root")
    [item] = listed_items(source)
    (tmp_path / "root").rename(tmp_path / "away")
    if left == "another folder":
        (tmp_path / "root").mkdir()
    with pytest.raises(TransientError, match="went away"):
        source.fetch(item.uri, item.version, LIMIT)


@pytest.mark.parametrize("version", ["stat", "content"])
@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("left", ["nothing", "another folder"])
def test_a_root_that_goes_away_amid_a_listing_lists_nothing_short(
    tmp_path: Path, version: str, flat: bool, left: str
) -> None:
    root = tmp_path / "root"
    for number in range(1200):
        write(root / f"{number:04}.jpg" if flat else root / f"{number // 100:02}" / f"{number:04}.jpg")
    batches = folder(root, version=version).list_batches()
    next(batches)
    root.rename(tmp_path / "away")
    if left == "another folder":
        root.mkdir()
    with pytest.raises(TransientError, match="went away"):
        list(batches)


def test_files_that_vanish_amid_a_listing_are_left_out(tmp_path: Path) -> None:
    for number in range(1200):
        write(tmp_path / f"{number:04}.jpg")
    batches = folder(tmp_path).list_batches()
    listed = next(batches).num_rows
    for number in range(1000, 1200):
        (tmp_path / f"{number:04}.jpg").unlink()
    assert listed + sum(batch.num_rows for batch in batches) == 1000


@contextmanager
def plain_user() -> Iterator[None]:
    """Without root's right to read everything."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_where_nothing_may_be_read_the_listing_fails_and_so_does_a_fetch(open_to_all: Path) -> None:
    path = write(open_to_all / "closed" / "1.jpg")
    source = folder(open_to_all)
    [item] = listed_items(source)
    path.parent.chmod(0)
    with plain_user():
        source.check()
        with pytest.raises(AccessDeniedError, match="closed"):
            listed_items(source)
        with pytest.raises(ItemDeniedError, match=r"1\.jpg"):
            source.fetch(item.uri, item.version, LIMIT)
    open_to_all.chmod(0)
    with plain_user(), pytest.raises(AccessDeniedError, match="may not be read"):
        source.check()
    path.parent.chmod(0o755)


@pytest.mark.parametrize("mode", [0, 0o444], ids=["not even listed", "listed, and nothing more"])
def test_a_folder_that_may_not_be_read_is_counted_and_its_items_stay(open_to_all: Path, mode: int) -> None:
    write(open_to_all / "open" / "1.jpg")
    closed = write(open_to_all / "closed" / "deep" / "2.jpg").parent.parent
    before = listed_items(folder(open_to_all))
    closed.chmod(mode)
    source, alone = folder(open_to_all, past=Remembered(before)), folder(open_to_all)
    with plain_user():
        assert listed_items(source) == before
        assert ids(alone) == ["open/1.jpg"]
    closed.chmod(0o755)
    for one in (source, alone):
        assert one.left_out == {"unreadable": 1}
        assert one.remarks() == [f"{closed} may not be read by this user"]


def test_a_file_that_may_not_be_read_stays_as_it_was(open_to_all: Path) -> None:
    write(open_to_all / "1.jpg")
    path = write(open_to_all / "2.jpg")
    for version in ("stat", "content"):
        before = listed_items(folder(open_to_all, version=version))
        path.chmod(0)
        source = folder(open_to_all, version=version, past=Remembered(before))
        with plain_user():
            assert listed_items(source) == before
        path.chmod(0o644)


def test_what_is_left_out_is_counted_by_kind(tmp_path: Path) -> None:
    names = ["1.jpg", "2.JFIF", "a.txt", "b.TXT", "d", "x.with-a-very-long-suffix", ".hidden.jpg", ".git/1.jpg"]
    for name in [*names, "sub/tmp/1.jpg", "sub/tmp/2.jpg", "sub/3.jpg", "sub/draft-4.jpg", "keep/tmp.jpg"]:
        write(tmp_path / name)
    source = folder(tmp_path, exclude=["tmp/", "draft-*"])
    for _ in range(2):  # each listing counts anew
        assert ids(source) == ["1.jpg", "2.JFIF", "keep/tmp.jpg", "sub/3.jpg"]
        assert source.left_out == {
            ".txt": 2, "no suffix": 1, "other suffixes": 1, "hidden": 2, "excluded": 2
        }  # fmt: skip


def test_suffixes_can_be_named_and_none_takes_all(tmp_path: Path) -> None:
    for name in ["1.jpg", "2.raw", "3"]:
        write(tmp_path / name)
    assert ids(folder(tmp_path, suffixes=[".RAW"])) == ["2.raw"]
    assert ids(folder(tmp_path, suffixes=[])) == ["1.jpg", "2.raw", "3"]


def test_an_excluded_folder_is_not_looked_into(open_to_all: Path) -> None:
    write(open_to_all / "1.jpg")
    (open_to_all / "lost+found").mkdir(mode=0)
    source = folder(open_to_all, exclude=["/lost+found/"])
    with plain_user():
        assert ids(source) == ["1.jpg"]
    assert source.left_out == {"excluded": 1}


@pytest.mark.parametrize("pattern", ["!", "[z-a]"])
def test_a_pattern_that_can_not_be_read_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="not a pattern"):
        FolderSource(kind="folder", path="/images", exclude=[pattern])


def test_a_path_that_is_too_long_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "1.jpg")
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for _ in range(20):
            os.mkdir("x" * 250)
            os.chdir("x" * 250)
        Path("2.jpg").write_bytes(b"bytes")
    finally:
        os.chdir(here)
    source = folder(tmp_path)
    assert ids(source) == ["1.jpg"]
    assert source.left_out == {"path too long": 1}


def test_a_share_that_was_unmounted_says_nothing_of_its_files(tmp_path: Path) -> None:
    write(tmp_path / "images" / "1.jpg")
    source = folder(tmp_path / "images")
    [item] = listed_items(source)
    (tmp_path / "images").rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(TransientError, match="went away"):
            source.fetch(item.uri, item.version, LIMIT)
        (tmp_path / "images").mkdir(exist_ok=True)


@dataclass
class Remembered(NoPast):
    """A state in which these items are the current listing."""

    items: list[Item]

    def below(self, uri: str) -> Iterator[tuple[str, str, int]]:
        """See Past."""
        return ((one.uri, one.version, one.bytes) for one in self.items if (one.uri + "/").startswith(uri + "/"))
