"""Every store, on a folder or S3, writes atomically, never overwrites, and can compare and swap."""

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from pinery.checkpoint.store import LocalStore, Store
from pinery.errors import ConflictError, TerminalError
from tests.checkpoint.made import make


def test_a_published_file_is_whole_listed_and_never_overwritten(store: Store) -> None:
    store.publish("parts/b.parquet", make(store, b"second"))
    store.publish("parts/a.parquet", make(store, b"first"))
    with pytest.raises(ConflictError):
        store.publish("parts/a.parquet", make(store, b"other"))
    assert store.names("parts") == ["a.parquet", "b.parquet"]
    assert store.open("parts/a.parquet").read() == b"first"
    assert store.local("parts/b.parquet").read_bytes() == b"second"


def test_names_are_those_of_one_folder(store: Store) -> None:
    store.publish("parts/a", make(store, b"x"))
    store.publish("parts/deeper/b", make(store, b"x"))
    store.publish("parts-of-another/c", make(store, b"x"))
    assert store.names("parts") == ["a"]
    assert store.names("nothing/here") == []


def test_sizes_and_folders_are_those_of_one_folder(store: Store) -> None:
    store.publish("parts/a", make(store, b"12345"))
    store.publish("parts/deeper/b", make(store, b"x"))
    store.publish("parts/other/still/c", make(store, b"x"))
    store.publish("parts-of-another/c", make(store, b"x"))
    assert store.sizes("parts") == {"a": 5}
    assert store.folders("parts") == ["deeper", "other"]
    assert (store.sizes("nothing/here"), store.folders("nothing/here")) == ({}, [])


def test_open_reads_anywhere(store: Store) -> None:
    data = bytes(range(256)) * 40
    store.publish("file", make(store, data))
    with store.open("file") as source:
        source.seek(-4, 2)
        assert source.read() == data[-4:]
        source.seek(300)
        assert source.read(5) == data[300:305]


def test_replace_swaps_only_what_was_read(store: Store) -> None:
    assert store.read("lease.json") is None
    tag = store.replace("lease.json", b"one", None)
    with pytest.raises(ConflictError):
        store.replace("lease.json", b"intruder", None)
    newer = store.replace("lease.json", b"two", tag)
    with pytest.raises(ConflictError):
        store.replace("lease.json", b"late", tag)
    assert store.read("lease.json") == (b"two", newer)
    store.delete("lease.json")
    store.delete("lease.json")
    assert store.read("lease.json") is None


def test_one_of_many_swaps_wins(store: Store) -> None:
    tag = store.replace("alias.json", b"start", None)
    won: list[int] = []

    def swap(number: int) -> None:
        try:
            store.replace("alias.json", b"%d" % number, tag)
        except ConflictError:
            return
        won.append(number)

    threads = [threading.Thread(target=swap, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.read("alias.json")
    assert len(won) == 1
    assert found is not None
    assert found[0] == b"%d" % won[0]


def test_a_listing_is_of_one_moment_while_files_take_the_place_of_others(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "state")
    store.publish("ledger/0", make(store, b"rows"))
    ended = threading.Event()

    def replace_again_and_again() -> None:
        try:
            for number in range(1_000):
                store.publish(f"ledger/{number + 1}", make(store, b"rows"))
                store.delete(f"ledger/{number}")
        finally:
            ended.set()

    writer = threading.Thread(target=replace_again_and_again)
    writer.start()
    seen: list[list[str]] = []
    try:
        while not ended.is_set():
            seen.append(store.names("ledger"))
    finally:
        writer.join()
    assert [] not in seen
    assert store.names("ledger") == ["1000"]


class BrokenDisk(LocalStore):
    """The folder's fsync fails after the file has its name."""

    broken = True


@pytest.fixture
def broken_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BrokenDisk:
    fsync = os.fsync

    def fails_for_folders(descriptor: int) -> None:
        if BrokenDisk.broken and stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        fsync(descriptor)

    monkeypatch.setattr(BrokenDisk, "broken", False)
    monkeypatch.setattr(os, "fsync", fails_for_folders)
    return BrokenDisk(tmp_path / "state")


def test_a_write_whose_folder_could_not_be_synced_is_known_for_ones_own(broken_disk: BrokenDisk) -> None:
    store, path = broken_disk, make(broken_disk, b"vectors")
    first = store.replace("lease", b"first", None)
    BrokenDisk.broken = True
    for write in (lambda: store.publish("part", path), lambda: store.replace("lease", b"second", first)):
        with pytest.raises(TerminalError, match="can't write"):
            write()
    BrokenDisk.broken = False
    store.publish("part", path)
    assert not path.exists()
    with pytest.raises(ConflictError):
        store.publish("part", make(store, b"of another run"))
    third = store.replace("lease", b"third", first)
    assert store.read("lease") == (b"third", third)
    with pytest.raises(ConflictError):
        store.replace("lease", b"fourth", first)


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(TerminalError, match="can't write"):
        LocalStore(tmp_path / "state").replace("alias.json", b"x", None)
