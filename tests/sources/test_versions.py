"""Versions of files: other bytes are noticed whatever their size and mtime say, and what only moved is not."""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pinery.errors import MovedError
from pinery.source_kinds import FolderSource
from pinery.sources import versions
from pinery.sources.folder import Folder
from pinery.sources.protocol import NoPast
from tests.corpora import listed_items

LONG_AGO = 1_000_000_000


@dataclass
class Past(NoPast):
    """A state whose checkpoint has these hashes, and whose current listing began at `at`."""

    hashes: dict[tuple[str, str], str] = field(default_factory=dict)
    listing: dict[str, str] = field(default_factory=dict)
    at: int = 0
    folder: Path | None = None

    def cache(self) -> Path | None:
        """See Past."""
        return self.folder

    def listed_at(self) -> int:
        """See Past."""
        return self.at

    def marked(self) -> Mapping[str, str]:
        """See Past."""
        return self.listing

    def sums(self, items: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
        """See Past."""
        return {item: self.hashes[item] for item in items if item in self.hashes}

    def embed(self, listed: dict[str, str], folder: Path) -> None:
        """Remember the listed items as a run does that embeds them."""
        for id, version in listed.items():
            self.hashes.setdefault((id, version), sha256(folder / id))
        self.listing = {id: version for id, version in listed.items() if version.count("-") == 2}


class Corpus:
    """A folder that is listed by stat, with its cache and its past."""

    def __init__(self, root: Path) -> None:
        self.images, self.cache, self.past = root / "images", root / "cache", Past()
        self.images.mkdir()

    def write(self, name: str, data: bytes, mtime: int = LONG_AGO) -> Path:
        path = self.images / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (mtime, mtime))
        return path

    def replace(self, name: str, data: bytes, mtime: int = LONG_AGO) -> None:
        self.write("new", data, mtime).rename(self.images / name)

    def source(self) -> Folder:
        self.past.folder = self.cache
        return Folder(FolderSource(kind="folder", path=str(self.images)), self.past)

    def listed(self) -> dict[str, str]:
        return {item.id: item.version for item in listed_items(self.source())}

    def run(self) -> dict[str, str]:
        """List and embed."""
        listed = self.listed()
        self.past.embed(listed, self.images)
        return listed


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    corpus = Corpus(tmp_path)
    for name, data in {"a.jpg": b"one", "b.jpg": b"two"}.items():
        corpus.write(name, data)
    return corpus


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read to be compared."""
    names: list[str] = []
    whole = versions._hash
    monkeypatch.setattr(versions, "_hash", lambda path: names.append(Path(path).name) or whole(path))
    return names


def test_the_versions_of_the_release_before_go_on(corpus: Corpus, read: list[str]) -> None:
    assert corpus.run() == dict.fromkeys(("a.jpg", "b.jpg"), f"3-{LONG_AGO}000000000")
    assert corpus.run() == corpus.run()
    assert read == []


def test_files_that_change_places_are_noticed(corpus: Corpus) -> None:
    before = corpus.run()
    (corpus.images / "a.jpg").rename(corpus.images / "x")
    (corpus.images / "b.jpg").rename(corpus.images / "a.jpg")
    (corpus.images / "x").rename(corpus.images / "b.jpg")
    after = corpus.run()
    assert after == {
        "a.jpg": f"{before['a.jpg']}-{hashlib.sha256(b'two').hexdigest()[:16]}",
        "b.jpg": f"{before['b.jpg']}-{hashlib.sha256(b'one').hexdigest()[:16]}",
    }
    assert corpus.run() == after


def test_folders_that_change_places_are_noticed(corpus: Corpus) -> None:
    corpus.write("x/1.jpg", b"red")
    corpus.write("y/1.jpg", b"sea")
    before = corpus.run()
    for old, new in (("x", "z"), ("y", "x"), ("z", "y")):
        (corpus.images / old).rename(corpus.images / new)
    after = corpus.run()
    assert {name for name in after if after[name] != before[name]} == {"x/1.jpg", "y/1.jpg"}


def test_another_release_in_the_place_of_the_folder_is_noticed(corpus: Corpus) -> None:
    before = corpus.run()
    corpus.images.rename(corpus.images.with_name("first"))
    corpus.images.mkdir()
    corpus.write("a.jpg", b"ONE")
    corpus.write("b.jpg", b"two")
    after = corpus.run()
    assert after["b.jpg"] == before["b.jpg"], "the same bytes, in another file"
    assert after["a.jpg"].startswith(f"{before['a.jpg']}-")


def test_other_bytes_under_an_mtime_of_long_ago_are_noticed(corpus: Corpus) -> None:
    first = corpus.run()
    corpus.replace("a.jpg", b"two", LONG_AGO + 1)
    corpus.run()
    corpus.replace("a.jpg", b"six")
    assert corpus.run()["a.jpg"] == f"{first['a.jpg']}-{hashlib.sha256(b'six').hexdigest()[:16]}"


def test_bytes_that_come_back_are_themselves_again(corpus: Corpus) -> None:
    corpus.run()
    corpus.replace("a.jpg", b"two")
    marked = corpus.run()["a.jpg"]
    corpus.replace("a.jpg", b"one")
    back = corpus.run()["a.jpg"]
    assert back not in (marked, f"3-{LONG_AGO}000000000"), "whose vectors are of other bytes, or were"
    assert back.endswith(hashlib.sha256(b"one").hexdigest()[:16])


def test_what_was_only_touched_or_restored_is_read_once_and_has_not_changed(corpus: Corpus, read: list[str]) -> None:
    before = corpus.run()
    (corpus.images / "a.jpg").chmod(0o600)
    copied = shutil.copytree(corpus.images, corpus.images.with_name("restored"))
    shutil.rmtree(corpus.images)
    copied.rename(corpus.images)
    assert corpus.run() == before
    assert sorted(read) == ["a.jpg", "b.jpg"]
    assert corpus.run() == before
    assert len(read) == 2


def test_without_a_cache_what_changed_since_the_last_listing_is_compared(corpus: Corpus, read: list[str]) -> None:
    before = corpus.run()
    newest = max(path.stat().st_ctime_ns for path in corpus.images.iterdir())
    shutil.rmtree(corpus.cache)
    corpus.past.at = newest
    assert corpus.run() == before
    assert read == [], "nothing was touched since"
    shutil.rmtree(corpus.cache)
    corpus.replace("a.jpg", b"two")
    corpus.write("c.jpg", b"new")
    after = corpus.run()
    assert after["a.jpg"].startswith(f"{before['a.jpg']}-")
    assert after["b.jpg"] == before["b.jpg"]
    assert after["c.jpg"] == f"3-{LONG_AGO}000000000"
    assert read == ["a.jpg"]


def test_without_a_cache_what_was_noticed_once_is_not_forgotten(corpus: Corpus, read: list[str]) -> None:
    corpus.run()
    corpus.replace("a.jpg", b"two")
    after = corpus.run()
    shutil.rmtree(corpus.cache)
    read.clear()
    assert corpus.run() == after
    assert read == ["a.jpg"]


def test_a_machine_that_saw_only_the_new_bytes_believes_the_listing(corpus: Corpus) -> None:
    corpus.run()
    corpus.replace("a.jpg", b"two")
    elsewhere = Corpus.__new__(Corpus)
    elsewhere.images, elsewhere.cache, elsewhere.past = corpus.images, corpus.cache.with_name("other"), Past()
    elsewhere.listed()  # before the first machine noticed
    after = corpus.run()
    elsewhere.past = corpus.past
    assert elsewhere.listed() == after


def test_a_fetch_knows_marked_versions_by_their_bytes(corpus: Corpus) -> None:
    corpus.run()
    corpus.replace("a.jpg", b"two")
    corpus.run()
    source = corpus.source()
    [item, _] = listed_items(source)
    assert source.fetch(item.uri, item.version, 100) == b"two"
    corpus.replace("a.jpg", b"six")
    with pytest.raises(MovedError, match="changed since it was listed"):
        source.fetch(item.uri, item.version, 100)


@pytest.mark.parametrize("how", ["stat", "content"])
def test_a_cache_that_can_not_be_used_costs_only_time(corpus: Corpus, how: str) -> None:
    def listed() -> dict[str, str]:
        settings = {"kind": "folder", "path": str(corpus.images), "version": how}
        source = Folder(FolderSource.model_validate(settings), Past(folder=corpus.cache))
        return {item.id: item.version for item in listed_items(source)}

    before = listed()
    file = corpus.cache / "hashes.sqlite"
    whole = file.read_bytes()
    for spoilt in (b"no database " * 400, whole[: len(whole) // 2], whole[:4096] + b"x" * (len(whole) - 4096)):
        file.write_bytes(spoilt)
        assert listed() == before
        assert listed() == before
    file.unlink()
    file.mkdir()
    assert listed() == before


def test_file_systems_that_number_files_anew_are_known() -> None:
    assert versions.stable_inodes(os.stat("/").st_dev) in (True, False)
    assert versions.stable_inodes(os.makedev(4095, 1048575)), "of what isn't known, inodes are believed"
