"""The cache of a state on S3: bounded, oldest out, never what is in use; spoilt copies are made anew."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pinery.checkpoint.cache import StateCache
from pinery.checkpoint.s3_store import S3Store
from pinery.parquet.files import TableWriter
from pinery.records import LEDGER_SCHEMA
from pinery.settings import S3Access
from tests.s3_server import S3Server

HOLD = """
import pathlib, sys
from pinery.checkpoint.cache import StateCache
held = StateCache(pathlib.Path(sys.argv[1]), sys.argv[2], 1 << 30)
print("held", flush=True)
sys.stdin.read()
"""
STATES = ["0" * 32, "1" * 32]
HOUR = 3600


def download(size: int) -> object:
    def write(handle: BinaryIO) -> None:
        handle.write(b"x" * size)

    return write


def add(cache: StateCache, name: str, size: int, hours_old: float = 0) -> Path:
    path = cache.copy(name, "tag", download(size))  # type: ignore[arg-type]  # a function
    used = time.time() - hours_old * HOUR
    os.utime(path, (used, used))
    return path


def test_over_the_limit_what_was_used_longest_ago_goes(tmp_path: Path) -> None:
    before = StateCache(tmp_path, STATES[0], 1000)
    oldest, used, newest = (add(before, name, 300, hours) for name, hours in (("a/1", 9), ("a/2", 8), ("a/3", 7)))
    del before  # and with it its lock
    cache = StateCache(tmp_path, STATES[0], 1000)
    assert cache.copy("a/2", "tag", download(1)) == used  # type: ignore[arg-type]  # used again, not made
    add(cache, "b/4", 300)
    assert not oldest.exists()
    assert used.read_bytes() == b"x" * 300
    assert newest.exists()


def test_what_this_process_uses_stays_even_over_the_limit(tmp_path: Path) -> None:
    cache = StateCache(tmp_path, STATES[0], 100)
    paths = [add(cache, f"parts/{number}", 80) for number in range(5)]
    assert all(path.exists() for path in paths)
    del cache
    StateCache(tmp_path, STATES[1], 100)
    assert sum(path.exists() for path in paths) == 1, "the next one tidies up"


def test_what_another_process_used_of_late_stays(tmp_path: Path) -> None:
    first = StateCache(tmp_path, STATES[0], 1 << 30)
    old, late = add(first, "old", 500, 3), add(first, "late", 500, 0.1)
    del first
    command = [sys.executable, "-c", HOLD, str(tmp_path), STATES[0]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        StateCache(tmp_path, STATES[1], 100)
        assert not old.exists()
        assert late.exists()
        holder.stdin.close()
    StateCache(tmp_path, STATES[1], 100)
    assert not late.exists()


def test_folders_of_earlier_versions_count_and_nothing_else_is_touched(tmp_path: Path) -> None:
    former, weights = tmp_path / ("a" * 16) / "files" / "part", tmp_path / "weights" / "files" / "model.pth"
    for path in (former, weights):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * 5000)
        os.utime(path, (1, 1))
    StateCache(tmp_path, STATES[0], 1000)
    assert not former.exists()
    assert weights.exists()


@pytest.fixture
def published(s3_store: S3Store) -> tuple[S3Store, str]:
    path = s3_store.scratch("making") / "file.parquet"
    with TableWriter(path, LEDGER_SCHEMA) as writer:
        rows = {"id": ["a"], "version": ["v"], "metadata_hash": ["h"], "deleted": [False]}
        writer.append(pa.RecordBatch.from_pydict(rows, schema=LEDGER_SCHEMA))
    s3_store.publish("c/ledger/00000001-00000000.parquet", path)
    return s3_store, "c/ledger/00000001-00000000.parquet"


@pytest.mark.parametrize("spoil", [b"", b"\0" * 800, b"torn"])
def test_a_spoilt_copy_is_made_anew(published: tuple[S3Store, str], spoil: bytes) -> None:
    store, name = published
    path = store.local(name)
    path.write_bytes(spoil)
    assert pq.read_table(store.local(name))["id"].to_pylist() == ["a"]


def test_copies_of_what_the_state_no_longer_has_go(
    published: tuple[S3Store, str], s3_server: S3Server, tmp_path: Path
) -> None:
    store, name = published
    path = store.local(name)
    os.utime(path, (1, 1))
    settings = S3Access(endpoint_url=s3_server.endpoint_url, region="us-east-1")
    assert store.names("c/ledger") == ["00000001-00000000.parquet"]
    assert path.exists()
    store.delete(name)
    assert store.names("c/ledger") == []
    assert not path.exists()
    assert S3Store(store.root, settings, tmp_path / "cache").names("c/ledger") == []


def test_two_endpoints_with_one_address_have_a_cache_each(s3_server: S3Server, tmp_path: Path) -> None:
    # Servers of one process share their buckets, so the other state is the same one after it was begun anew.
    settings = S3Access(endpoint_url=s3_server.endpoint_url, region="us-east-1")
    root = f"s3://{s3_server.new_bucket()}/state"
    one = S3Store(root, settings, tmp_path / "cache")
    first = one.scratch("run")
    one.delete("state.json")
    other = S3Store(root, settings, tmp_path / "cache")
    assert other.scratch("run") != first
    assert first.is_dir()
