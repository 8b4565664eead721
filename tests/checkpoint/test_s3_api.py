"""Requests to S3: what its answers mean, and files read by ranges that never mix two contents."""

from pathlib import Path

import pytest

from pinery.checkpoint.s3_store import S3Store
from pinery.errors import AccessDeniedError, ConfigError, ConflictError, TerminalError, TransientError
from pinery.settings import S3Access
from tests.checkpoint.made import make
from tests.s3_server import S3Server


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


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (403, AccessDeniedError, "access to s3://.*/some/state/file is denied"),
        (404, TerminalError, "some/state/file does not exist"),
        (412, ConflictError, "some/state/file was written by another run"),
        (503, TransientError, "some/state/file: S3 answered SlowDown"),
    ],
)
def test_each_answer_is_an_error_that_says_who_tries_again_and_names_the_file(
    s3_server: S3Server, s3_store: S3Store, status: int, error: type[Exception], words: str
) -> None:
    s3_store.write("file", b"x")
    s3_server.fail(status, times=9, method="GET", key="some/state/file")
    with pytest.raises(error, match=words):
        s3_store._api.get("file")
    s3_server.heal()
    assert s3_store._api.get("file") is not None
    assert s3_store._api.get("nothing", missing=True) is None
