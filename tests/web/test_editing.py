"""Images are added and deleted on the page, and found or gone after the run that follows."""

from __future__ import annotations

import io
import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from pinery.config_file import load_config
from pinery.web.editing import add, delete, editable
from pinery.web.folder_edits import add_file, delete_file
from pinery.web.site import ServerSettings, Site
from tests.corpora import config, jpeg, paint
from tests.filled import bring, holding, opened
from tests.processes import wait_until, write_config
from tests.web.serving import Server, corpus, serving


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The config of a small corpus, whose folder is the test's own."""
    return corpus(tmp_path)


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """An editable server, and the folder of its corpus; nothing of the first twelve images is changed."""
    folder = tmp_path_factory.mktemp("edited")
    made = corpus(folder, source={"kind": "folder", "path": str(folder / "images"), "exclude": ["draft-*"]})
    with serving(made, "--editable") as running:
        yield running, folder / "images"


def run_ended(client: httpx.Client, name: str = "test") -> dict[str, Any]:
    """Wait until no run goes on, and return how the last one ended."""
    told: dict[str, Any] = {}

    def ended() -> bool:
        told.update(client.get("/api/runs/current", params={"corpus": name}).json())
        return not told["running"]

    wait_until(ended, seconds=240)
    return told


def shown_as(made: Path, **settings: Any) -> Any:
    """The corpus of a config as an editable server shows it, in this process."""
    site = Site({str(made): load_config(str(made))}, ServerSettings(editable=True, **settings))
    return site.shown(None)


@pytest.mark.slow
def test_an_added_image_is_found_and_a_deleted_one_is_gone(made: Path) -> None:
    folder = made.parent / "images"
    with serving(made, "--editable", "--set", "run.part_rows=3") as running, running.client() as client:
        answer = client.post("/api/items", params={"name": "red-new.jpg"}, content=jpeg("red", 77))
        assert answer.status_code == 201, answer.text
        assert answer.json()["id"] == "red-new.jpg"
        assert answer.json()["run"]["running"]
        assert (folder / "red-new.jpg").read_bytes() == jpeg("red", 77)
        told = run_ended(client)
        assert (told["exit_code"], told["message"]) == (0, "1 upserted; 13 images are listed")
        assert told["run"]
        wait_until(lambda: client.get("/api/search?id=red-new.jpg").status_code == 200, seconds=10)
        found = client.get("/api/search?id=red-new.jpg&top_k=3").json()["matches"]
        assert all(one["id"].startswith("red-") for one in found)
        assert client.get("/api/items").json()["total"] == 13

        assert client.delete("/api/items", params={"id": "red-new.jpg"}).status_code == 200
        assert not (folder / "red-new.jpg").exists()
        assert run_ended(client)["message"] == "1 deleted; 12 images are listed"
        wait_until(lambda: client.get("/api/search?id=red-new.jpg").status_code == 404, seconds=10)
        assert client.delete("/api/items", params={"id": "red-new.jpg"}).status_code == 404


@pytest.mark.slow
def test_a_wish_during_a_run_is_done_after_it(made: Path) -> None:
    with serving(made, "--editable") as running, running.client() as client:
        for number in range(3):
            name = f"red-late-{number}.jpg"
            assert client.post("/api/items", params={"name": name}, content=jpeg("red", 90 + number)).status_code == 201
        told = client.get("/api/runs/current").json()
        assert told["running"]
        assert told["waiting"]
        assert run_ended(client)["exit_code"] == 0
        assert client.get("/api/items").json()["total"] in (12, 15)  # a second behind at most
        wait_until(lambda: client.get("/api/items").json()["total"] == 15, seconds=10)
        assert not [name for name in os.listdir(made.parent / "images") if name.startswith(".")]


@pytest.mark.slow
def test_a_guard_that_refuses_is_told_with_the_way_out(made: Path) -> None:
    with serving(made, "--editable") as running, running.client() as client:
        for number in range(3):
            assert client.delete("/api/items", params={"id": f"red-{number}.jpg"}).status_code == 200
        told = run_ended(client)
        assert (told["exit_code"], told["allow_deletes"]) == (3, True)
        assert "--allow-deletes" in told["message"]
        assert client.get("/api/items").json()["total"] == 12
        assert client.post("/api/runs", params={"allow_deletes": "true"}).status_code == 202
        assert run_ended(client)["exit_code"] == 0
        wait_until(lambda: client.get("/api/items").json()["total"] == 9, seconds=10)


@pytest.mark.slow
def test_forms_without_scripts_do_the_same(made: Path) -> None:
    with serving(made, "--editable") as running, running.client(headers={"origin": running.url}) as client:
        found = re.search(r'<meta name="csrf" content="([0-9a-f]{64})">', client.get("/").text)
        assert found
        form = {"csrf": found[1]}
        files = [("files", ("red-a.jpg", jpeg("red", 70))), ("files", ("red-0.jpg", b"x")), ("files", ("b.txt", b"x"))]
        answer = client.post("/items", data=form, files=files)
        assert answer.status_code == 303
        said = client.get(answer.headers["location"]).text
        assert "1 image added; a run indexes it" in said
        assert "there is a file red-0.jpg already" in said
        assert "no ending of an image" in said
        assert (made.parent / "images" / "red-a.jpg").exists()
        answer = client.post("/items/delete", data=form | {"id": "red-1.jpg"})
        assert "red-1.jpg is deleted" in client.get(answer.headers["location"]).text
        assert not (made.parent / "images" / "red-1.jpg").exists()
        answer = client.post("/runs", data=form | {"allow_deletes": "1"})
        assert answer.status_code == 303
        assert run_ended(client)["exit_code"] == 0


@pytest.mark.slow
def test_another_run_that_writes_is_a_conflict_that_says_who(made: Path) -> None:
    settings = load_config(str(made)).model_dump(mode="json")
    with serving(made, "--editable") as running, running.client() as client:
        with holding(settings):
            answers = [
                client.post("/api/runs"),
                client.post("/api/items?name=red-new.jpg", content=jpeg("red", 70)),
                client.delete("/api/items?id=red-0.jpg"),
            ]
        for answer in answers:
            assert answer.status_code == 409
            assert f"(pid {os.getpid()}) is writing corpus test" in answer.json()["error"]
            assert socket.gethostname() in answer.json()["error"]
        assert sorted(os.listdir(made.parent / "images"))[-1] == "red-3.jpg"
        assert (made.parent / "images" / "red-0.jpg").exists()
        assert client.post("/api/runs").status_code == 202
        assert run_ended(client)["exit_code"] == 0


@pytest.mark.slow
def test_a_server_that_ends_ends_its_run_resumably(made: Path) -> None:
    paint(made.parent / "images" / "red-new.jpg", "red", 70)
    with serving(made, "--editable") as running, running.client() as client:
        assert client.post("/api/runs").status_code == 202
        wait_until(lambda: client.get("/api/runs/current").json()["run"] is not None)
    assert opened(load_config(str(made)).model_dump(mode="json")).current_listing() is not None
    with serving(made, "--editable") as running, running.client() as client:
        assert client.post("/api/runs").status_code == 202
        assert run_ended(client)["exit_code"] == 0
        wait_until(lambda: client.get("/api/items").json()["total"] == 13, seconds=10)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../red.jpg", "no file name"),
        ("a/b.jpg", "no file name"),
        ("/etc/passwd.jpg", "no file name"),
        ("a\\b.jpg", "no file name"),
        ("..", "no file name"),
        (".hidden.jpg", "would leave out"),
        ("draft-1.jpg", "would leave out"),
        ("red.txt", "no ending of an image"),
        ("red", "no ending of an image"),
        ("red.jpg\x00.txt", "can't be a file name"),
        ("red\n.jpg", "can't be a file name"),
        ("\u202egpj.jpg", "can't be a file name"),
        (" red.jpg", "can't be a file name"),
        ("ü" * 130 + ".jpg", "can't be a file name"),
    ],
)
def test_names_that_are_none_are_refused(edited: tuple[Server, Path], name: str, words: str) -> None:
    with edited[0].client() as client:
        answer = client.post("/api/items", params={"name": name}, content=jpeg("red", 70))
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert len(os.listdir(edited[1])) == 12


def png_of(width: int, height: int) -> bytes:
    """A PNG of one colour, which is small however many pixels it has."""
    out = io.BytesIO()
    Image.new("1", (width, height)).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 400, "the body is empty"),
        (b"no image", 400, "not an image"),
        (jpeg("red", 70)[:400], 400, "truncated"),
        (png_of(9000, 9000), 400, "81000000 pixels|9000 x 9000 pixels"),
        (b"\xff\xd8\xff" + b"x" * (65 << 20), 413, "is too large|more than the"),
    ],
    ids=["empty", "text", "cut", "pixels", "bytes"],
)
def test_images_that_are_none_are_refused_with_the_reason(
    edited: tuple[Server, Path], data: bytes, status: int, words: str
) -> None:
    with edited[0].client() as client:
        answer = client.post("/api/items?name=red-new.jpg", content=data)
    assert answer.status_code == status
    assert re.search(words, answer.json()["error"])
    assert len(os.listdir(edited[1])) == 12


def test_nothing_is_overwritten(edited: tuple[Server, Path]) -> None:
    before = (edited[1] / "red-0.jpg").read_bytes()
    with edited[0].client() as client:
        answer = client.post("/api/items?name=red-0.jpg", content=jpeg("red", 70))
    assert answer.status_code == 409
    assert (edited[1] / "red-0.jpg").read_bytes() == before


def test_a_form_that_is_cut_off_adds_nothing(edited: tuple[Server, Path]) -> None:
    part = b'--B\r\nContent-Disposition: form-data; name="files"; filename="red-%d.jpg"\r\n\r\n%s\r\n'
    body = part % (70, jpeg("red", 70)) + part % (71, jpeg("red", 71)[:300])
    with edited[0].client() as client:
        kind = {"content-type": "multipart/form-data; boundary=B"}
        answer = client.post("/items", content=body, headers=kind)
        assert "it is cut off" in client.get(answer.headers["location"]).text
    assert len(os.listdir(edited[1])) == 12


def test_a_changed_file_is_not_deleted_unseen(made: Path) -> None:
    folder = made.parent / "images"
    paint(folder / "red-0.jpg", "red", 99)
    (folder / "red-1.jpg").unlink()
    with serving(made, "--editable") as running, running.client() as client:
        for id, words in (("red-0.jpg", "changed since"), ("red-1.jpg", "no longer there")):
            answer = client.delete("/api/items", params={"id": id})
            assert answer.status_code == 409
            assert words in answer.json()["error"]
        for id in ("../test.yaml", "/etc/passwd", str(folder / "red-2.jpg"), "red-2.jpg/../red-3.jpg"):
            assert client.delete("/api/items", params={"id": id}).status_code == 404
    assert (folder / "red-0.jpg").exists()
    assert made.exists()


def test_a_link_is_deleted_and_not_what_it_leads_to(tmp_path: Path) -> None:
    images = tmp_path / "images"
    for number in range(8):
        paint(images / f"red-{number}.jpg", "red", number)
    (images / "deep").mkdir()
    (images / "red-7.jpg").rename(images / "deep" / "red-7.jpg")
    (images / "red-link.jpg").symlink_to("red-0.jpg")
    settings = config(images, tmp_path / "state")
    bring(settings)
    shown = shown_as(write_config(tmp_path / "test.yaml", settings))
    delete(shown, "red-link.jpg")
    assert not (images / "red-link.jpg").is_symlink()
    assert (images / "red-0.jpg").exists()
    delete(shown, "deep/red-7.jpg")
    assert not (images / "deep" / "red-7.jpg").exists()


def test_a_folder_that_became_a_link_leads_nowhere(tmp_path: Path) -> None:
    outside, images = tmp_path / "outside", tmp_path / "images"
    paint(outside / "red-0.jpg", "red", 0)
    paint(images / "red-0.jpg", "red", 0)
    (images / "deep").symlink_to(outside)
    with pytest.raises(PermissionError):
        delete_file(str(images), str(images / "deep" / "red-0.jpg"))
    with pytest.raises(PermissionError):
        delete_file(str(images), str(outside / "red-0.jpg"))
    with pytest.raises(FileNotFoundError):
        delete_file(str(images), str(images / "red-1.jpg"))
    (images / "folder.jpg").mkdir()
    with pytest.raises(PermissionError):
        delete_file(str(images), str(images / "folder.jpg"))
    assert (outside / "red-0.jpg").exists()
    (images / "taken.jpg").symlink_to(outside / "new.jpg")
    with pytest.raises(FileExistsError):
        add_file(str(images), "taken.jpg", b"x")
    assert not (outside / "new.jpg").exists()


def test_an_added_file_has_the_mode_of_others(tmp_path: Path) -> None:
    add_file(str(tmp_path), "red.jpg", b"data")
    (tmp_path / "other.jpg").write_bytes(b"data")
    assert stat.S_IMODE((tmp_path / "red.jpg").stat().st_mode) == stat.S_IMODE((tmp_path / "other.jpg").stat().st_mode)
    assert (tmp_path / "red.jpg").stat().st_nlink == 1
    with pytest.raises(FileNotFoundError):
        add_file(str(tmp_path / "gone"), "red.jpg", b"data")


def test_a_corpus_that_cannot_be_edited_says_why(made: Path, tmp_path: Path) -> None:
    with serving(made) as running, running.client() as client:
        for answer in (
            client.post("/api/items?name=red-new.jpg", content=jpeg("red", 70)),
            client.delete("/api/items?id=red-0.jpg"),
            client.post("/api/runs"),
        ):
            assert answer.status_code == 403
            assert "--editable" in answer.json()["error"]
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    shown = shown_as(made)
    assert editable(shown)[0] is False
    assert "isn't there" in editable(shown)[1]
    settings = config(tmp_path, tmp_path / "state", source={"kind": "s3", "uri": "s3://bucket/prefix"})
    allowed, why = editable(shown_as(write_config(tmp_path / "s3.yaml", settings)))
    assert (allowed, "kind s3" in why) == (False, True)


def test_two_names_that_differ_in_unicode_are_two_images(made: Path) -> None:
    shown = shown_as(made)
    assert add(shown, "ré d.jpg", jpeg("red", 70)) == "r%C3%A9 d.jpg"
    assert (made.parent / "images" / "ré d.jpg").exists()
