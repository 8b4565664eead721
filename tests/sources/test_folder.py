"""The folder source: what it lists, how it tells versions apart, and what fetching refuses."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pinery.config import FolderSource
from pinery.errors import AccessDeniedError, BadImageError, ConfigError, MovedError
from pinery.records import Item
from pinery.sources import open_source
from pinery.sources.folder import Folder

LIMIT = 1000
LONG_AGO = 1_600_000_000_000_000_000


def write(path: Path, data: bytes = b"bytes of an image") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def folder(path: Path, cache: Path | None = None, **settings: str) -> Folder:
    source = open_source(FolderSource.model_validate({"kind": "folder", "path": str(path), **settings}), cache)
    assert isinstance(source, Folder)
    return source


def ids(source: Folder) -> list[str]:
    return [item.id for item in source.list_items()]


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
    [item] = folder(tmp_path, metadata="parent").list_items()
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
    [item] = folder(tmp_path, metadata="^(?P<label>[^-]+)-", ids="md5-path").list_items()
    assert (item.id, item.metadata) == (hashlib.md5(b"cat-01.jpg").hexdigest(), '{"label":"cat"}')


def test_a_name_that_is_no_utf8_is_listed_and_fetched(tmp_path: Path) -> None:
    for name in [b"caf\xe9-1.jpg", b"caf%E9-1.jpg"]:
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            file.write(name)
    source = folder(tmp_path, metadata="^(?P<label>[^-]+)-")
    items = list(source.list_items())
    assert [item.id for item in items] == ["caf%25E9-1.jpg", "caf%E9-1.jpg"]
    assert [json.loads(item.metadata)["label"] for item in items] == ["caf%E9", "caf%E9"]
    assert source.fetch(items[1].uri, items[1].version, LIMIT) == b"caf\xe9-1.jpg"


def test_links_are_followed_only_within_the_folder(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root, outside = tmp_path / "root", write(tmp_path / "outside" / "secret.jpg")
    target = write(root / "real" / "1.jpg")
    (root / "link.jpg").symlink_to(target)
    (root / "linked").symlink_to("real")
    (root / "out.jpg").symlink_to(outside)
    (root / "out").symlink_to(outside.parent)
    (root / "dangling.jpg").symlink_to(root / "nothing.jpg")
    (root / "self.jpg").symlink_to(root / "self.jpg")
    assert ids(folder(root)) == ["link.jpg", "linked/1.jpg", "real/1.jpg"]
    assert "2 links that lead out" in caplog.text


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
    [item] = source.list_items()
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(MovedError, match="leads out"):
        source.fetch(item.uri, item.version, LIMIT)


@pytest.mark.parametrize("version", ["stat", "content"])
def test_fetch_refuses_what_changed_or_vanished(tmp_path: Path, version: str) -> None:
    path = write(tmp_path / "1.jpg", b"one")
    source = folder(tmp_path, version=version)
    [item] = source.list_items()
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
    [item] = source.list_items()
    with pytest.raises(BadImageError, match=r"2,000 bytes.*1,999"):
        source.fetch(item.uri, item.version, 1999)
    assert len(source.fetch(item.uri, item.version, 2000)) == 2000
    path.write_bytes(b"y" * 3000)
    with pytest.raises(MovedError):
        source.fetch(item.uri, item.version, 1999)


def test_content_versions_follow_the_bytes_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "1.jpg", b"one")
    source = folder(tmp_path, version="content")
    [before] = source.list_items()
    os.utime(path, ns=(0, LONG_AGO))
    [touched] = source.list_items()
    path.write_bytes(b"two")
    [changed] = source.list_items()
    assert before.version == touched.version == "sha256:" + hashlib.sha256(b"one").hexdigest()
    assert changed.version == "sha256:" + hashlib.sha256(b"two").hexdigest()


def test_only_files_whose_stat_moved_are_hashed_anew(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for name in ["moved.jpg", "same.jpg"]:
        os.utime(write(tmp_path / "root" / name, b"one"), ns=(0, LONG_AGO))
    first = {item.id: item.version for item in folder(tmp_path / "root", cache, version="content").list_items()}
    with sqlite3.connect(cache / "hashes.sqlite") as db:
        assert db.execute("UPDATE hashes SET version = 'remembered'").rowcount == 2
    os.utime(tmp_path / "root" / "moved.jpg", ns=(0, LONG_AGO + 1))
    second = {item.id: item.version for item in folder(tmp_path / "root", cache, version="content").list_items()}
    assert second == {"moved.jpg": first["moved.jpg"], "same.jpg": "remembered"}


def test_a_broken_cache_is_made_anew(tmp_path: Path) -> None:
    os.utime(write(tmp_path / "root" / "1.jpg", b"one"), ns=(0, LONG_AGO))
    write(tmp_path / "cache" / "hashes.sqlite", b"no database " * 100)
    source = folder(tmp_path / "root", tmp_path / "cache", version="content")
    assert list(source.list_items()) == list(source.list_items())


def test_the_hash_of_a_file_written_just_now_is_not_remembered(tmp_path: Path) -> None:
    path = write(tmp_path / "root" / "1.jpg", b"one")
    source = folder(tmp_path / "root", tmp_path / "cache", version="content")
    [before] = source.list_items()
    stat = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    [after] = source.list_items()
    assert before.version != after.version


@pytest.mark.parametrize("name", ["nowhere", "file.jpg"])
def test_a_missing_folder_says_its_path_and_what_to_do(tmp_path: Path, name: str) -> None:
    write(tmp_path / "file.jpg")
    source = folder(tmp_path / name)
    for attempt in (source.check, lambda: list(source.list_items())):
        with pytest.raises(ConfigError, match=rf"{tmp_path}/{name}.*source\.path"):
            attempt()


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


def test_what_may_not_be_read_fails_the_listing_and_the_fetch() -> None:
    # Not pytest's own folder, which another user may not enter.
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        path = write(Path(name) / "closed" / "1.jpg")
        source = folder(Path(name))
        [item] = source.list_items()
        path.parent.chmod(0)
        with plain_user():
            source.check()
            with pytest.raises(AccessDeniedError, match="closed"):
                list(source.list_items())
            with pytest.raises(AccessDeniedError, match=r"1\.jpg"):
                source.fetch(item.uri, item.version, LIMIT)
        path.parent.chmod(0o755)
