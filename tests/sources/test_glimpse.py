"""A glimpse sees many folders with few looks, leaves out what a listing does, and says whether it saw everything."""

import importlib.util
from pathlib import Path

import pytest

from pinery.errors import AccessDeniedError, ConfigError
from pinery.source_kinds import FolderSource, S3Source
from pinery.sources.folder import Folder
from pinery.sources.glimpse import ENOUGH, FOLDERS, Glimpse, glimpse_folder, glimpse_s3
from tests.corpora import listed_items
from tests.s3_server import S3Server, shut_out_credentials


def touch(root: Path, *keys: str) -> None:
    for key in keys:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).touch()


def seen_in(folder: Path) -> Glimpse:
    return glimpse_folder(FolderSource(kind="folder", path=str(folder)))


def test_a_small_folder_is_seen_as_a_listing_sees_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    touch(root, "a.jpg", "B.PNG", "deep/er/c.webp", ".hidden/d.jpg", "deep/.e.jpg", "notes.txt", "noname", "deep/x.csv")
    touch(tmp_path, "outside.jpg")
    (root / "link.jpg").symlink_to(root / "a.jpg")
    (root / "out.jpg").symlink_to(tmp_path / "outside.jpg")
    (root / "nowhere.jpg").symlink_to(root / "gone.jpg")
    found, source = seen_in(root), Folder(FolderSource(kind="folder", path=str(root)))
    assert sorted(found.keys) == sorted(item.id for item in listed_items(source))
    assert found.left_out == source.left_out
    assert found.complete
    assert found.suffixes() == {".jpg": 2, ".png": 1, ".webp": 1}


def test_every_class_of_a_large_corpus_is_seen(tmp_path: Path) -> None:
    names = [f"class-{number:02}" for number in range(20)]
    touch(tmp_path, *(f"{name}/{number:03}.jpg" for name in names for number in range(60)))
    found = seen_in(tmp_path)
    assert len(found.keys) == ENOUGH
    assert not found.complete
    assert {key.partition("/")[0] for key in found.keys} == set(names)


def test_an_image_behind_many_other_files_is_found(tmp_path: Path) -> None:
    touch(tmp_path, *(f"a/{number:04}.txt" for number in range(2 * ENOUGH)), "z/y/x/one.jpg")
    found = seen_in(tmp_path)
    assert (found.keys, found.left_out, found.complete) == (("z/y/x/one.jpg",), {".txt": 2 * ENOUGH}, True)


def test_what_this_installation_can_not_decode_is_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.heic")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)  # as where pillow-heif is not installed
    assert (seen_in(tmp_path).keys, seen_in(tmp_path).left_out) == ((), {".heic": 1})


def test_no_folder_is_a_usage_error(tmp_path: Path) -> None:
    touch(tmp_path, "file.jpg")
    for name in ("missing", "file.jpg"):
        with pytest.raises(ConfigError, match=name):
            seen_in(tmp_path / name)


def test_a_prefix_is_seen_by_few_requests(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    for number in range(FOLDERS + 5):
        s3_server.client().put_object(Bucket=bucket, Key=f"photos/c{number:02}/1.jpg", Body=b"")
    for key in ("photos/top.png", "photos/.hidden/a.jpg", "photos/c00/notes.txt", "photos/c01/", "photoshop/x.jpg"):
        s3_server.client().put_object(Bucket=bucket, Key=key, Body=b"")
    s3_server.reset_counts()
    settings = S3Source(kind="s3", uri=f"s3://{bucket}/photos", endpoint_url=s3_server.endpoint_url)
    found = glimpse_s3(settings)
    assert s3_server.count() == FOLDERS + 1
    assert set(found.keys) == {"top.png", *(f"c{number:02}/1.jpg" for number in range(FOLDERS - 1))}
    assert found.left_out == {"hidden": 1, ".txt": 1}
    assert not found.complete


def test_a_small_prefix_is_complete_and_an_empty_one_too(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    s3_server.client().put_object(Bucket=bucket, Key="a/b/c/1.jpg", Body=b"")
    for uri, keys in ((f"s3://{bucket}", ("a/b/c/1.jpg",)), (f"s3://{bucket}/none/", ())):
        found = glimpse_s3(S3Source(kind="s3", uri=uri, endpoint_url=s3_server.endpoint_url))
        assert (found.keys, found.complete) == (keys, True)


def test_a_bucket_that_is_not_there_or_closed_is_named(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    there = S3Source(kind="s3", uri="s3://no-such-bucket/x", endpoint_url=s3_server.endpoint_url)
    with pytest.raises(ConfigError, match="no-such-bucket"):
        glimpse_s3(there)
    shut_out_credentials(monkeypatch)
    with pytest.raises(AccessDeniedError, match="no usable AWS credentials"):
        glimpse_s3(there)
