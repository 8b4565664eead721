"""Thumbnails and originals: what is sent, what is kept, and what stands in the place of a picture."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from pinery.errors import TransientError
from pinery.web import items
from pinery.web.pictures import Studio
from pinery.web.thumb_files import ThumbFiles
from tests.corpora import config, jpeg, paint, picture
from tests.filled import bring
from tests.web.asking import asking, site_of


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def turned(width: int, height: int) -> bytes:
    """A JPEG whose EXIF turns it by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(picture("red", 1, 64).resize((width, height)), "JPEG", exif=exif)


FILES = {
    "red-turned.jpg": turned(1200, 800),
    "red-strip.png": encoded(picture("red", 2, 16).resize((3000, 100)), "PNG"),
    "red-small.webp": encoded(picture("red", 3, 20), "WEBP"),
    "red-scan.tiff": encoded(picture("red", 4, 300), "TIFF"),
    "red-naïve name.jpg": jpeg("red", 5),
    "red-broken.jpg": jpeg("red", 6)[:200],
    "red-page.png": b"<html><script>alert(1)</script></html>",
    "red-gone.jpg": jpeg("red", 8),
    "red-changed.jpg": jpeg("red", 9),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "images").mkdir()
    for name, data in FILES.items():
        (folder / "images" / name).write_bytes(data)
    settings = config(folder / "images", folder / "state", run={"part_rows": 5, "quarantine_guard": 1})
    bring(settings)
    (folder / "images" / "red-gone.jpg").unlink()
    paint(folder / "images" / "red-changed.jpg", "blue", 1)
    with asking(site_of(settings)) as made:
        yield made


def address(client: TestClient, name: str, kind: str = "thumb") -> str:
    listed = client.get("/api/items").json()["items"]
    found: str = next(one[kind] for one in listed if one["id"].startswith(name))
    return found


@pytest.mark.parametrize(
    ("name", "size"), [("red-turned", (256, 384)), ("red-strip", (512, 17)), ("red-small", (20, 20))]
)
def test_a_thumbnail_is_a_small_upright_webp_that_is_kept_for_ever(
    client: TestClient, name: str, size: tuple[int, int]
) -> None:
    url = address(client, name)
    answers = [client.get(url), client.get(url)]
    for answer in answers:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
        with Image.open(io.BytesIO(answer.content)) as image:
            assert (image.format, image.size) == ("WEBP", size)
    assert answers[0].content == answers[1].content
    again = client.get(url, headers={"if-none-match": answers[0].headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("name", "kind"), [("red-turned", "image/jpeg"), ("red-strip", "image/png"), ("red-small", "image/webp")]
)
def test_an_image_is_the_source_s_own_bytes(client: TestClient, name: str, kind: str) -> None:
    answer = client.get(address(client, name, "image"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.content == next(data for file, data in FILES.items() if file.startswith(name))
    assert answer.headers["content-disposition"].startswith("inline; filename*=UTF-8''" + name)
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_browsers_do_not_show_is_converted_and_what_is_no_image_is_only_saved(client: TestClient) -> None:
    scan = client.get(address(client, "red-scan", "image"))
    assert scan.headers["content-type"] == "image/jpeg"
    assert scan.headers["content-disposition"] == "inline; filename*=UTF-8''red-scan.tiff.jpg"
    with Image.open(io.BytesIO(scan.content)) as image:
        assert (image.format, image.size) == ("JPEG", (300, 300))
    page = client.get(address(client, "red-page", "image"))
    assert page.headers["content-type"] == "application/octet-stream"
    assert page.headers["content-disposition"] == "attachment; filename*=UTF-8''red-page.png"
    named = client.get(address(client, "red-na", "image"))
    assert named.headers["content-disposition"] == "inline; filename*=UTF-8''red-na%C3%AFve%20name.jpg"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("red-broken", "JPEG"),
        ("red-page", "HTML page"),
        ("red-gone", "changed since"),
        ("red-changed", "changed since"),
    ],
)
def test_a_picture_that_cannot_be_made_is_a_404_whose_svg_says_why(client: TestClient, name: str, reason: str) -> None:
    for _ in range(2):
        answer = client.get(address(client, name))
        assert (answer.status_code, answer.headers["content-type"]) == (404, "image/svg+xml")
        assert reason in answer.text.replace('</tspan><tspan x="128" dy="20">', " ")
        assert answer.headers["cache-control"] == "private, no-store"
        assert str(Path.cwd().anchor) + "tmp" not in answer.text


@pytest.mark.parametrize("path", ["/thumb", "/image"])
def test_another_version_leads_to_the_right_one_and_no_path_is_ever_opened(client: TestClient, path: str) -> None:
    for version in ("", "&v=", "&v=0123456789abcdef0123"):
        answer = client.get(f"{path}?id=red-small.webp{version}", follow_redirects=False)
        assert answer.status_code == 307
        assert answer.headers["location"] == address(client, "red-small", path[1:])
        assert answer.headers["cache-control"] == "private, no-store"
    for id in ("../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/", "red-small.webp\0"):
        answer = client.get(path, params={"id": id})
        assert answer.status_code == 404, id
        assert "lists no item" in answer.json()["error"]
    assert client.get(f"{path}?id=red-small.webp&corpus=none").status_code == 404
    assert client.get(path).status_code == 422
    assert client.get(path, params={"id": "x" * 600}).status_code == 422


def test_many_who_ask_for_one_picture_have_it_made_once() -> None:
    studio, made, go = Studio(threads=2), list[int](), threading.Event()

    def job() -> int:
        go.wait(30)
        made.append(1)
        return 7

    futures = [studio.make("same", job) for _ in range(50)]
    go.set()
    assert {one.result(30) for one in futures} == {7}
    assert made == [1]
    studio.close()


def test_a_job_too_many_is_refused_and_room_comes_back() -> None:
    studio, go = Studio(threads=1, most_waiting=2), threading.Event()
    futures = [studio.make(str(n), lambda: go.wait(30)) for n in range(3)]
    with pytest.raises(TransientError, match="too many pictures are being made") as caught:
        studio.make("3", lambda: True)
    assert caught.value.retry_after == 2
    go.set()
    assert [one.result(30) for one in futures] == [True] * 3
    with ThreadPoolExecutor(1) as pool:  # the last job is done a moment before its place is free
        assert pool.submit(lambda: studio.make("4", lambda: True)).result(30).result(30)
    studio.close()


def test_thumbnails_on_disk_are_bounded_and_the_oldest_goes(tmp_path: Path) -> None:
    files = ThumbFiles(tmp_path, limit=10_000)
    for number in range(30):
        files.write(f"{number:020}", bytes([number + 1]) * 1000)
        assert sum(one.stat().st_size for one in tmp_path.glob("*/*")) <= 10_000
    assert files.read(f"{29:020}") == bytes([30]) * 1000
    assert files.read(f"{0:020}") is None
    assert ThumbFiles(tmp_path, limit=10_000).read(f"{29:020}") is not None, "another server finds it"


def test_a_disk_that_keeps_nothing_costs_only_the_keeping(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    files = ThumbFiles(tmp_path / "file")
    files.write("ab", b"data")
    assert files.read("ab") is None


def test_addresses_name_corpus_id_and_version(client: TestClient) -> None:
    url = address(client, "red-na")
    assert url.startswith("/thumb?corpus=test&id=red-na%25C3%25AFve+name.jpg&v=")
    assert len(url.rpartition("=")[2]) == items.VERSION_DIGITS
