"""Parts that workers elsewhere leave in the state, and the run publishes: whole, once, and without reading them."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pinery.checkpoint.parts import Checkpoint
from pinery.checkpoint.root import open_store
from pinery.checkpoint.s3_store import S3Store
from pinery.checkpoint.staging import open_staging
from pinery.checkpoint.store import LocalStore, Store
from pinery.config import Config
from pinery.config_file import load_config
from pinery.errors import ConfigError, ConflictError, TerminalError
from tests.checkpoint.made import make
from tests.corpora import config
from tests.s3_server import S3Server

PLACE = "test/key/staging"


def staged(store: Store, text: bytes, name: str = "made") -> str:
    """A file that a worker has left."""
    store.publish(f"{PLACE}/{name}", make(store, text))
    return f"{PLACE}/{name}"


def test_a_staged_file_becomes_the_part_and_is_staged_no_more(store: Store) -> None:
    checkpoint = Checkpoint(store, "test/key/parts")
    checkpoint.publish_staged("part-00000000", staged(store, b"vectors"))
    assert store.open("test/key/parts/part-00000000.parquet").read() == b"vectors"
    assert store.names(PLACE) == []


def test_a_part_is_never_overwritten_by_another_file(store: Store) -> None:
    checkpoint = Checkpoint(store, "test/key/parts")
    checkpoint.publish_staged("part-00000000", staged(store, b"vectors"))
    with pytest.raises(ConflictError):
        checkpoint.publish_staged("part-00000000", staged(store, b"others"))
    checkpoint.publish_staged("part-00000000", staged(store, b"vectors", "again"))  # an answer that was lost
    assert store.open("test/key/parts/part-00000000.parquet").read() == b"vectors"


def test_a_file_that_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(TerminalError, match=r"staging/gone does not exist"):
        Checkpoint(store, "test/key/parts").publish_staged("part-00000000", f"{PLACE}/gone")


def test_what_a_dead_run_left_is_cleared(store: Store) -> None:
    store.clear(PLACE)
    staged(store, b"vectors")
    staged(store, b"vectors", "other")
    if isinstance(store, LocalStore):
        (Path(store.root) / PLACE / ".half.parquet.4f2a").write_bytes(b"vec")
    store.clear(PLACE)
    assert store.names(PLACE) == []
    assert not isinstance(store, LocalStore) or not (Path(store.root) / PLACE).exists()


def test_s3_copies_the_bytes_itself_and_refuses_what_is_taken(s3_server: S3Server, s3_store: S3Store) -> None:
    name = staged(s3_store, b"vectors")
    s3_server.reset_counts()
    s3_store.move(name, "test/key/parts/a")
    assert s3_server.count("GET", "some/state/test/key/staging") == 0
    other = staged(s3_store, b"others")
    with pytest.raises(ConflictError):  # as when the part appears after it was looked for
        s3_store._api.copy(other, "test/key/parts/a", {})
    assert s3_store.open("test/key/parts/a").read() == b"vectors"
    uploads = s3_server.client().list_multipart_uploads(Bucket=s3_store._api.bucket)
    assert uploads.get("Uploads", []) == [], "the refused upload was given up"


def test_a_copy_whose_answer_was_lost_is_known_for_ones_own(s3_server: S3Server, s3_store: S3Store) -> None:
    name = staged(s3_store, b"vectors")
    s3_server.fail(500, method="POST", key="some/state/test/key/parts", after=True, times=2)
    s3_store.move(name, "test/key/parts/a")
    assert s3_store.open("test/key/parts/a").read() == b"vectors"
    assert s3_store.names(PLACE) == []


def test_pieces_make_one_file(s3_store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinery.checkpoint.s3_api.PIECE_BYTES", 5 << 20)
    text = bytes(range(256)) * (11 << 12)
    s3_store.move(staged(s3_store, text), "test/key/parts/a")
    assert s3_store.open("test/key/parts/a").read() == text


def settings(tmp_path: Path, state: str = "state") -> Config:
    return load_config(config(tmp_path, tmp_path / state))


def test_a_worker_sees_the_runs_own_state_and_no_other(tmp_path: Path) -> None:
    found = settings(tmp_path)
    place = pickle.loads(pickle.dumps(open_staging(found, open_store(found), "key")))
    place.check()
    made = tmp_path / "made"
    made.write_bytes(b"vectors")
    place.put("part", made)
    assert (tmp_path / "state" / PLACE / "part").read_bytes() == b"vectors"
    (tmp_path / "state").rename(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"can't be seen from .*there is none.*same path"):
        place.check()
    open_staging(found, open_store(found), "key")
    with pytest.raises(ConfigError, match="another one is there"):
        place.check()
