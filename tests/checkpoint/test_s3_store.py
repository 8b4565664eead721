"""State on S3: conditional writes, proved before they are relied on, and known for ones own where an answer is lost."""

from pathlib import Path

import pytest

from pinery.checkpoint.s3_store import S3Store
from pinery.errors import ConfigError, ConflictError, TransientError
from pinery.settings import S3Access
from tests.checkpoint.made import make
from tests.s3_server import S3Server


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


def test_a_put_whose_answer_was_lost_is_read_back(s3_server: S3Server, s3_store: S3Store) -> None:
    s3_server.fail(500, method="PUT", key="some/state/part", after=True)
    s3_store.publish("part", make(s3_store, b"vectors"))
    assert s3_store.open("part").read() == b"vectors"
    s3_server.fail(503, method="PUT", key="some/state/lease", after=True)
    tag = s3_store.replace("lease", b"mine", None)
    assert s3_store.read("lease") == (b"mine", tag)


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


def test_a_proxys_answer_is_no_answer_of_the_store(s3_server: S3Server, s3_store: S3Store) -> None:
    """Nothing is taken for missing, for written or for read because something answered 200."""
    s3_store.publish("folder/part", make(s3_store, b"vectors"))
    page = lambda _: b"<html><body>Sign in to go on</body></html>"  # noqa: E731
    s3_server.change_answers(page)
    with pytest.raises(TransientError):
        s3_store.names("folder")
    s3_server.change_answers(page, key="some/state/folder/part")
    with pytest.raises(TransientError):
        s3_store.read("folder/part")
    s3_server.change_answers(page, method="PUT", key="some/state/other")
    s3_server.fail(503, times=30, method="HEAD", key="some/state/other")
    with pytest.raises(TransientError):
        s3_store.replace("other", b"data", None)


def test_a_listing_that_says_that_there_is_more_and_not_where_is_an_error(
    s3_server: S3Server, s3_store: S3Store
) -> None:
    s3_store.publish("folder/part", make(s3_store, b"vectors"))
    s3_server.change_answers(lambda body: body.replace(b"<IsTruncated>false<", b"<IsTruncated>true<"))
    with pytest.raises(TransientError, match="says that there is more"):
        s3_store.names("folder")


def test_a_server_that_sends_all_of_a_file_for_a_range_is_understood(s3_server: S3Server, s3_store: S3Store) -> None:
    content = bytes(range(256)) * 8000
    s3_store.publish("part", make(s3_store, content))
    s3_server.ignore_ranges()
    with s3_store.open("part") as file:
        file.seek(1_500_000)
        assert file.read(100) == content[1_500_000:1_500_100]
        file.seek(10)
        assert file.read() == content[10:]
