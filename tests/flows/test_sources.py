"""Items that a source can't read, can't tell apart or leaves out cost the index no row, and all are reported."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flows.reindex import reindex
from pinery.errors import AccessDeniedError
from pinery.search.query import Query, search
from pinery.steps.preview import preview
from pinery.steps.status import status
from tests.corpora import config, jpeg
from tests.filled import counts, opened, rows_of
from tests.s3_server import S3Server


def square(path: Path, colour: tuple[int, int, int]) -> None:
    """A picture whose file has the same size and mtime whatever its colour."""
    Image.fromarray(np.full((32, 32, 3), colour, np.uint8)).save(path, "BMP")
    os.utime(path, (1e9, 1e9))


@pytest.mark.parametrize("version", ["stat", "content"])
def test_other_bytes_of_the_same_size_and_mtime_reach_the_index(tmp_path: Path, version: str) -> None:
    images = tmp_path / "images"
    images.mkdir()
    square(images / "a.bmp", (250, 0, 0))
    square(images / "b.bmp", (0, 0, 250))
    settings = config(images, tmp_path / "state", source={"kind": "folder", "path": str(images), "version": version})
    reindex(settings)
    before = rows_of(settings)
    (images / "a.bmp").rename(images / "x")
    (images / "b.bmp").rename(images / "a.bmp")
    (images / "x").rename(images / "b.bmp")
    assert counts(reindex(settings)) == {"changed": 2, "reused": 2, "upserted": 2}
    after = rows_of(settings)
    assert (after["a.bmp"].values, after["b.bmp"].values) == (before["b.bmp"].values, before["a.bmp"].values)
    for path in images.iterdir():
        path.chmod(0o600)
    assert counts(reindex(settings)) == {"unchanged": 2}


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    """Four objects below photos/."""
    name = s3_server.new_bucket()
    for number in range(4):
        put(s3_server, name, number)
    return name


def put(server: S3Server, bucket: str, number: int, **more: Any) -> None:
    server.client().put_object(Bucket=bucket, Key=f"photos/{number}.jpg", Body=jpeg("red", number), **more)


def of_bucket(server: S3Server, bucket: str, state: Path) -> dict[str, Any]:
    source = {"kind": "s3", "uri": f"s3://{bucket}/photos", "endpoint_url": server.endpoint_url, "region": "us-east-1"}
    return config(state, state, source=source)


def test_an_archived_object_keeps_its_row_and_a_new_one_is_left_out(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    settings = of_bucket(s3_server, bucket, tmp_path / "state")
    reindex(settings)
    put(s3_server, bucket, 0, StorageClass="GLACIER")
    put(s3_server, bucket, 9, StorageClass="DEEP_ARCHIVE")
    report = reindex(settings)
    assert counts(report) == {"unchanged": 4}
    assert report["left_out"] == {"archived (DEEP_ARCHIVE)": 1}
    assert preview(opened(settings), None).to_dict()["left_out"] == report["left_out"]
    assert status(opened(settings)).to_dict()["last_run"]["left_out"] == report["left_out"]
    assert len(rows_of(settings)) == 4


def test_a_single_object_that_is_denied_is_one_row(s3_server: S3Server, bucket: str, tmp_path: Path) -> None:
    settings = of_bucket(s3_server, bucket, tmp_path / "state")
    reindex(settings)
    put(s3_server, bucket, 8)
    s3_server.fail(403, times=100, method="GET", key="photos/8.jpg")
    assert counts(reindex(settings)) == {"new": 1, "unchanged": 4, "quarantined": 1}
    [row] = status(opened(settings)).to_dict()["quarantined"]
    assert row["id"] == "8.jpg"
    assert row["reason"].startswith("no access: ")
    assert "403 AccessDenied" in row["reason"]
    s3_server.heal()
    assert counts(reindex(settings, retry_quarantined=True)) == {"unchanged": 4, "embedded": 1, "upserted": 1}


@pytest.mark.parametrize("held_before", [False, True])
def test_where_all_is_denied_the_run_fails_and_records_nothing(
    s3_server: S3Server, bucket: str, tmp_path: Path, held_before: bool
) -> None:
    settings = of_bucket(s3_server, bucket, tmp_path / "state")
    if held_before:
        reindex(settings)
    put(s3_server, bucket, 8)
    s3_server.fail(403, times=1000, method="GET", key="photos/")
    with pytest.raises(AccessDeniedError, match="none of the other items that were tried may be read either"):
        reindex(settings)
    s3_server.heal()
    assert reindex(settings)["quarantined"] == 0
    assert len(rows_of(settings)) == 5


def test_a_listing_says_what_it_left_out_and_what_matched(images: Path, tmp_path: Path) -> None:
    (images / "notes.txt").write_text("notes")
    (tmp_path / "s.csv").write_text("id,shelf\nred-0.jpg,top\nred-00.jpg,low\n")
    source = {
        "kind": "folder",
        "path": str(images),
        "metadata": "^(?P<year>[0-9]{4})-",
        "sidecar": str(tmp_path / "s.csv"),
    }
    settings = config(images, tmp_path / "state", source=source)
    told = {
        "left_out": {".txt": 1},
        "remarks": [
            "the regex in `source.metadata` matches none of the 12 items",
            f"sidecar {tmp_path}/s.csv: 1 of its 2 rows match no item: 'red-00.jpg'",
        ],
    }
    planned = preview(opened(settings), None).to_dict()
    assert {name: planned[name] for name in told} == told
    report = reindex(settings)
    assert {name: report[name] for name in told} == told
    assert {name: status(opened(settings)).to_dict()["last_run"][name] for name in told} == told


@pytest.mark.parametrize("ids", ["key", "md5-path"])
def test_a_search_takes_an_items_plain_name(images: Path, tmp_path: Path, ids: str) -> None:
    (images / "red-0.jpg").rename(images / "café 100%.jpg")
    source = {"kind": "folder", "path": str(images), "ids": ids, "uri_key": "uri"}
    settings = config(images, tmp_path / "state", source=source)
    reindex(settings)
    corpus = opened(settings)
    for name in ("café 100%.jpg", "cafe\u0301 100%.jpg", "./café 100%.jpg"):
        best = search(corpus, Query(id=name, top_k=1)).matches[0]
        assert best.uri == best.metadata["uri"] == f"file://{images}/caf%C3%A9%20100%25.jpg"
    assert search(corpus, Query(id=best.id, top_k=1)).matches[0].id == best.id
