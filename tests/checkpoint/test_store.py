"""What every store promises: atomic, never overwritten, compare-and-swap; on a folder and on S3."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from pinery.checkpoint.s3_store import S3Store
from pinery.checkpoint.store import LocalStore, Store
from pinery.errors import AccessDeniedError, ConfigError, ConflictError, TerminalError, TransientError
from pinery.settings import S3Access
from tests.s3_server import S3Server


def make(store: Store, text: bytes) -> Path:
    path = store.scratch("making") / "file"
    path.write_bytes(text)
    return path


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


def test_what_was_written_before_an_error_is_known_for_ones_own(s3_server: S3Server, s3_store: S3Store) -> None:
    """More errors than the SDK repeats a request for: the caller's next attempt finds its own work."""
    kept = s3_store.scratch("making") / "kept"
    kept.write_bytes(b"vectors")
    first = s3_store.replace("lease", b"first", None)
    s3_server.fail(503, times=30, method="PUT", key="some/state/", after=True)
    s3_server.fail(503, times=30, method="HEAD", key="some/state/")
    for write in (lambda: s3_store.publish("part", kept), lambda: s3_store.replace("lease", b"second", first)):
        with pytest.raises(TransientError):
            write()
    s3_server.heal()
    s3_store.publish("part", kept)
    with pytest.raises(ConflictError):
        s3_store.publish("part", make(s3_store, b"of another run"))
    third = s3_store.replace("lease", b"third", first)
    assert s3_store.read("lease") == (b"third", third)
    with pytest.raises(ConflictError):
        s3_store.replace("lease", b"fourth", first)


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


@pytest.mark.parametrize("methods", [("PUT",), ("PUT", "GET")])
def test_a_server_without_conditional_writes_holds_no_state(
    s3_server: S3Server, tmp_path: Path, methods: tuple[str, ...]
) -> None:
    settings = S3Access(endpoint_url=s3_server.endpoint_url, region="us-east-1")
    store = S3Store(f"s3://{s3_server.new_bucket()}/state", settings, tmp_path / "cache")
    s3_server.ignore_conditions(*methods)
    with pytest.raises(ConfigError, match=r"doesn't honour conditional writes .* Set `state` to a folder"):
        store.replace("lease.json", b"mine", None)
    assert store.read("lease.json") is not None, "the trial writes the same bytes again"


def test_conditional_writes_are_tried_once(s3_server: S3Server, s3_store: S3Store) -> None:
    tag = s3_store.replace("lease", b"1", None)
    tried = s3_server.count("PUT")
    s3_store.replace("lease", b"2", tag)
    assert s3_server.count("PUT") == tried + 1


def test_a_body_that_breaks_off_is_asked_for_again(s3_server: S3Server, s3_store: S3Store) -> None:
    data = bytes(range(256)) * 8000
    s3_store.publish("part", make(s3_store, data))
    s3_server.cut(times=3, key="some/state/part")
    assert s3_store.open("part").read() == data
    s3_server.cut(times=100, key="some/state/part")
    with pytest.raises(TransientError, match="some/state/part"):
        s3_store.open("part").read()


def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed(s3_store: S3Store) -> None:
    s3_store.write("part", bytes(3 << 20))
    with s3_store.open("part") as file:
        file.read(10)
        s3_store.write("part", b"\1" * (3 << 20))
        with pytest.raises(TransientError, match="replaced while it was read"):
            file.read()


def test_ranges_are_read_from_a_server_that_sends_the_whole_objects_checksum(
    s3_server: S3Server, s3_store: S3Store
) -> None:
    data = bytes(range(256)) * 8000
    s3_store.publish("part", make(s3_store, data))
    s3_server.send_whole_checksums()
    with s3_store.open("part") as file:
        file.seek(1000)
        assert file.read(500) == data[1000:1500]


def test_a_put_whose_answer_was_lost_is_read_back(s3_server: S3Server, s3_store: S3Store) -> None:
    s3_server.fail(500, method="PUT", key="some/state/part", after=True)
    s3_store.publish("part", make(s3_store, b"vectors"))
    assert s3_store.open("part").read() == b"vectors"
    s3_server.fail(503, method="PUT", key="some/state/lease", after=True)
    tag = s3_store.replace("lease", b"mine", None)
    assert s3_store.read("lease") == (b"mine", tag)


def test_s3_refusals_name_the_state_and_the_way_out(s3_server: S3Server, tmp_path: Path, s3_store: S3Store) -> None:
    settings = S3Access(endpoint_url=s3_server.endpoint_url, region="us-east-1")
    with pytest.raises(ConfigError, match=r"bucket of state s3://nobody/x does not exist"):
        S3Store("s3://nobody/x", settings, tmp_path).names("parts")
    s3_server.fail(403, times=10, method="GET")
    with pytest.raises(AccessDeniedError, match="denied"):
        s3_store.read("lease.json")
    s3_server.heal()
    with pytest.raises(ConfigError, match="no-such-profile"):
        S3Store("s3://b/x", S3Access(profile="no-such-profile"), tmp_path)


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(TerminalError, match="can't write"):
        LocalStore(tmp_path / "state").replace("alias.json", b"x", None)


def test_a_file_too_large_for_one_put_is_published_as_a_whole_and_once(
    s3_store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pinery.checkpoint.s3_store.ONE_PUT_BYTES", 1 << 20)
    data = bytes(range(256)) * 40_000
    s3_store.publish("folder/big", make(s3_store, data))
    assert s3_store.local("folder/big").read_bytes() == data
    with pytest.raises(ConflictError):
        s3_store.publish("folder/big", make(s3_store, data[::-1]))
    assert s3_store.local("folder/big").read_bytes() == data
