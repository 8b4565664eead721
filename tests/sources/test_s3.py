"""The S3 source against a real HTTP endpoint: listing, conditional fetches and every kind of refusal."""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pinery.errors import (
    AccessDeniedError,
    BadImageError,
    ConfigError,
    ItemDeniedError,
    MovedError,
    TerminalError,
    TransientError,
)
from pinery.records import Item
from pinery.source_kinds import S3Source
from pinery.sources import open_source
from pinery.sources.protocol import NoPast
from pinery.sources.s3 import S3Prefix
from tests.corpora import listed_items
from tests.s3_server import S3Server, shut_out_credentials

LIMIT = 1_000_000


def prefix(server: S3Server, uri: str, **settings: Any) -> S3Prefix:
    return S3Prefix(S3Source(kind="s3", uri=uri, endpoint_url=server.endpoint_url, **settings), retries=0)


def put(server: S3Server, bucket: str, key: str, body: bytes = b"bytes of an image") -> None:
    server.client().put_object(Bucket=bucket, Key=key, Body=body)


@pytest.fixture
def listed(s3_server: S3Server) -> tuple[S3Prefix, Item, str]:
    """A prefix with one object, its item, and the bucket."""
    bucket = s3_server.new_bucket()
    put(s3_server, bucket, "photos/1.jpg")
    source = prefix(s3_server, f"s3://{bucket}/photos")
    [item] = listed_items(source)
    return source, item, bucket


def test_lists_what_lies_under_the_prefix(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    odd = "Mr. Mime/ä &#?+%.PNG"
    for key in ["photos/", "photos/cat/1.jpg", f"photos/{odd}", "photos/notes.txt", "photos2/1.jpg", "1.jpg"]:
        put(s3_server, bucket, key)
    source = prefix(s3_server, f"s3://{bucket}/photos", metadata="parent")
    odd_item, cat = listed_items(source)
    assert cat == Item(
        id="cat/1.jpg",
        uri=f"s3://{bucket}/photos/cat/1.jpg",
        version=hashlib.md5(b"bytes of an image").hexdigest(),
        bytes=17,
        metadata='{"label":"cat"}',
    )
    assert odd_item.id == "Mr. Mime/%C3%A4 &#?+%25.PNG"
    assert odd_item.metadata == '{"label":"Mr. Mime"}'
    assert [item.id for item in listed_items(prefix(s3_server, f"s3://{bucket}/photos/"))] == [odd_item.id, cat.id]
    assert len(listed_items(prefix(s3_server, f"s3://{bucket}"))) == 4
    assert [i.id for i in listed_items(prefix(s3_server, f"s3://{bucket}/photos", suffixes=[".TXT"]))] == ["notes.txt"]
    for item in (odd_item, cat):
        assert source.fetch(item.uri, item.version, LIMIT) == b"bytes of an image"


def test_what_is_left_out_is_counted_by_kind_as_in_a_folder(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    names = ["1.jpg", "2.JFIF", "a.txt", "d", ".hidden.jpg", ".git/1.jpg", "sub/.cache/1.jpg", "sub/"]
    for key in [*names, "sub/tmp/1.jpg", "sub/tmp/2.jpg", "sub/3.jpg", "keep/tmp.jpg"]:
        put(s3_server, bucket, f".photos/{key}")
    source = prefix(s3_server, f"s3://{bucket}/.photos", exclude=["tmp/"])
    for _ in range(2):  # each listing counts anew
        assert [item.id for item in listed_items(source)] == ["1.jpg", "2.JFIF", "keep/tmp.jpg", "sub/3.jpg"]
        assert source.left_out == {".txt": 1, "no suffix": 1, "hidden": 3, "excluded": 2}


class Embedded(NoPast):
    """A state that has vectors of all items with these ids."""

    def __init__(self, *ids: str) -> None:
        self._ids = ids

    def sums(self, items: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
        """See Past."""
        return {item: "sha256" for item in items if item[0] in self._ids}


def test_an_archived_object_is_listed_only_where_its_vector_is_there(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    for name, kind in {"1": "GLACIER", "2": "DEEP_ARCHIVE", "3": "GLACIER", "4": "GLACIER_IR", "5": "STANDARD"}.items():
        s3_server.client().put_object(Bucket=bucket, Key=f"{name}.jpg", Body=b"x", StorageClass=kind)  # type: ignore[arg-type]
    s3_server.client().restore_object(Bucket=bucket, Key="3.jpg", RestoreRequest={"Days": 1})
    settings = S3Source(kind="s3", uri=f"s3://{bucket}", endpoint_url=s3_server.endpoint_url)
    new = S3Prefix(settings)
    assert [item.id for item in listed_items(new)][-2:] == ["4.jpg", "5.jpg"]
    assert new.left_out["archived (DEEP_ARCHIVE)"] == 1
    assert new.left_out["archived (GLACIER)"] in (1, 2), "whether restored ones are known is up to the server"
    held = S3Prefix(settings, Embedded("2.jpg"))
    assert "2.jpg" in [item.id for item in listed_items(held)]
    assert "archived (DEEP_ARCHIVE)" not in held.left_out


def test_a_server_that_ignores_the_condition_gives_no_other_bytes(
    listed: tuple[S3Prefix, Item, str], monkeypatch: pytest.MonkeyPatch, s3_server: S3Server
) -> None:
    source, item, bucket = listed
    put(s3_server, bucket, "photos/1.jpg", b"other bytes")
    client = source._bucket.client
    client.meta.events.register(
        "before-send.s3.GetObject", lambda request, **_: request.headers.__delitem__("If-Match")
    )
    with pytest.raises(MovedError, match="changed since it was listed"):
        source.fetch(item.uri, item.version, LIMIT)


def test_a_prefix_may_hold_any_character(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    put(s3_server, bucket, "a#b?c d/é/1.jpg")
    source = prefix(s3_server, f"s3://{bucket}/a#b?c d/é")
    [item] = listed_items(source)
    assert item.id == "1.jpg"
    assert source.fetch(item.uri, item.version, LIMIT) == b"bytes of an image"


def test_a_listing_spans_pages_and_asks_once_per_thousand_keys(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    with ThreadPoolExecutor(8) as pool:
        client = s3_server.client()
        list(pool.map(lambda n: client.put_object(Bucket=bucket, Key=f"{n:04}.jpg", Body=b"x"), range(1001)))
    s3_server.reset_counts()
    batches = prefix(s3_server, f"s3://{bucket}").list_batches()
    first = next(batches)
    assert first["id"][0].as_py() == "0000.jpg"
    assert s3_server.count("GET") == 1
    assert first.num_rows + sum(batch.num_rows for batch in batches) == 1001
    assert s3_server.count() == 2


def test_a_listing_that_breaks_off_is_an_error(listed: tuple[S3Prefix, Item, str], s3_server: S3Server) -> None:
    s3_server.fail(503, method="GET")
    with pytest.raises(TransientError, match="503 SlowDown"):
        listed_items(listed[0])


@pytest.mark.parametrize(
    "answer",
    [b"<html><body>Sign in to go on</body></html>", b"Sign in", b"", b"<Error><Code>InternalError</Code></Error>"],
    ids=["html", "text", "nothing", "error"],
)
def test_a_good_status_alone_makes_no_listing(s3_server: S3Server, answer: bytes) -> None:
    bucket = s3_server.new_bucket()
    put(s3_server, bucket, "1.jpg")
    s3_server.change_answers(lambda _: answer, key="")
    with pytest.raises(TransientError):
        listed_items(prefix(s3_server, f"s3://{bucket}"))


def test_a_page_that_does_not_say_how_to_go_on_is_an_error(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    put(s3_server, bucket, "1.jpg")
    more = b"<IsTruncated>true</IsTruncated>"
    s3_server.change_answers(lambda body: re.sub(b"<IsTruncated>[a-z]+</IsTruncated>", more, body))
    with pytest.raises(TransientError, match=r"may not be S3, .* there is more, and not where"):
        listed_items(prefix(s3_server, f"s3://{bucket}"))
    again = more + b"<NextContinuationToken>1</NextContinuationToken>"
    s3_server.change_answers(lambda body: re.sub(b"<IsTruncated>[a-z]+</IsTruncated>", again, body))
    with pytest.raises(TransientError):
        listed_items(prefix(s3_server, f"s3://{bucket}"))


def test_what_a_server_lists_twice_is_one_item(s3_server: S3Server) -> None:
    """On one page, or on two that overlap."""
    bucket = s3_server.new_bucket()
    for number in range(3):
        put(s3_server, bucket, f"{number}.jpg")
    pages: list[bytes] = []

    def overlapping(body: bytes) -> bytes:
        [*_, last] = entries = re.findall(b"<Contents>.*?</Contents>", body, re.DOTALL)
        pages.append(body)
        if len(pages) == 1:
            body = body.replace(last, entries[0])
            return re.sub(
                b"<IsTruncated>.*?<", b"<NextContinuationToken>2</NextContinuationToken><IsTruncated>true<", body
            )
        return re.sub(b"<IsTruncated>.*?<", b"<IsTruncated>false<", body)

    s3_server.change_answers(overlapping)
    assert [item.id for item in listed_items(prefix(s3_server, f"s3://{bucket}"))] == ["0.jpg", "1.jpg", "2.jpg"]
    assert len(pages) == 2


def test_bytes_without_the_tag_of_an_object_are_no_image(
    listed: tuple[S3Prefix, Item, str], s3_server: S3Server
) -> None:
    source, item, _ = listed
    s3_server.change_answers(lambda _: b"<html>Sign in</html>", key="photos/1.jpg")
    with pytest.raises(TransientError):
        source.fetch(item.uri, item.version, LIMIT)


def test_what_changed_or_vanished_has_moved(listed: tuple[S3Prefix, Item, str], s3_server: S3Server) -> None:
    source, item, bucket = listed
    put(s3_server, bucket, "photos/1.jpg", b"other bytes")
    with pytest.raises(MovedError, match="changed since it was listed"):
        source.fetch(item.uri, item.version, LIMIT)
    s3_server.client().delete_object(Bucket=bucket, Key="photos/1.jpg")
    with pytest.raises(MovedError, match="no longer there"):
        source.fetch(item.uri, item.version, LIMIT)


def test_other_bytes_of_a_server_that_ignores_conditions_have_moved(
    listed: tuple[S3Prefix, Item, str], s3_server: S3Server
) -> None:
    source, item, bucket = listed
    s3_server.ignore_conditions("GET")
    assert source.fetch(item.uri, item.version, LIMIT) == b"bytes of an image"
    put(s3_server, bucket, "photos/1.jpg", b"others")
    with pytest.raises(MovedError, match="changed since it was listed"):
        source.fetch(item.uri, item.version, LIMIT)


def test_what_is_too_large_is_a_bad_image(listed: tuple[S3Prefix, Item, str]) -> None:
    source, item, _ = listed
    with pytest.raises(BadImageError, match=r"17 bytes.*16"):
        source.fetch(item.uri, item.version, 16)
    assert len(source.fetch(item.uri, item.version, 17)) == 17


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", ItemDeniedError),
        (403, "InvalidObjectState", ItemDeniedError),
        (403, "SignatureDoesNotMatch", AccessDeniedError),
        (400, "ExpiredToken", AccessDeniedError),
        (500, "InternalError", TransientError),
        (503, "SlowDown", TransientError),
        (429, "TooManyRequests", TransientError),
        (400, "RequestTimeout", TransientError),
        (404, "NoSuchBucket", TransientError),
        (400, "InvalidRequest", TerminalError),
    ],
)
def test_a_refused_fetch_says_who_may_retry(
    listed: tuple[S3Prefix, Item, str], s3_server: S3Server, status: int, code: str, kind: type[Exception]
) -> None:
    source, item, bucket = listed
    s3_server.fail(status, key="photos/1.jpg", code=code)
    with pytest.raises(kind, match=rf"{bucket}.*{s3_server.endpoint_url}") as caught:
        source.fetch(item.uri, item.version, LIMIT)
    assert caught.type is kind
    assert source.fetch(item.uri, item.version, LIMIT) == b"bytes of an image"


def test_a_body_cut_short_is_transient(listed: tuple[S3Prefix, Item, str], s3_server: S3Server) -> None:
    source, item, _ = listed
    s3_server.cut(key="photos/1.jpg")
    with pytest.raises(TransientError, match="the connection failed"):
        source.fetch(item.uri, item.version, LIMIT)
    assert source.fetch(item.uri, item.version, LIMIT) == b"bytes of an image"


def test_the_sdk_retries_a_passing_fault(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    put(s3_server, bucket, "1.jpg")
    s3_server.fail(500, method="GET")
    source = open_source(S3Source(kind="s3", uri=f"s3://{bucket}", endpoint_url=s3_server.endpoint_url))
    assert [item.id for item in listed_items(source)] == ["1.jpg"]


def test_fetches_run_beside_each_other(listed: tuple[S3Prefix, Item, str]) -> None:
    source, item, _ = listed
    with ThreadPoolExecutor(8) as pool:
        fetched = pool.map(lambda _: source.fetch(item.uri, item.version, LIMIT), range(40))
        assert set(fetched) == {b"bytes of an image"}


def test_a_missing_bucket_is_named(s3_server: S3Server) -> None:
    source = prefix(s3_server, "s3://nowhere/photos")
    for attempt in (source.check, lambda: listed_items(source)):
        with pytest.raises(ConfigError, match=rf"'nowhere' at {s3_server.endpoint_url} does not exist"):
            attempt()


def test_denied_access_names_bucket_endpoint_and_rights(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    s3_server.fail(403, method="GET")
    with pytest.raises(AccessDeniedError, match=rf"{bucket}.*{s3_server.endpoint_url}.*s3:ListBucket"):
        prefix(s3_server, f"s3://{bucket}").check()


def test_missing_credentials_are_said(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    shut_out_credentials(monkeypatch)
    with pytest.raises(AccessDeniedError, match=r"'some-bucket'.*NoCredentialsError.*AWS_ACCESS_KEY_ID"):
        prefix(s3_server, "s3://some-bucket").check()


def test_an_unknown_profile_is_named(s3_server: S3Server) -> None:
    with pytest.raises(ConfigError, match=r"'some-bucket'.*no AWS profile 'nobody'"):
        prefix(s3_server, "s3://some-bucket", profile="nobody")


@pytest.mark.parametrize("uri", ["s3://Not_a bucket!/x"])
def test_an_impossible_bucket_name_is_refused(s3_server: S3Server, uri: str) -> None:
    with pytest.raises(ConfigError, match="no such bucket name"):
        prefix(s3_server, uri).check()


def test_an_unreachable_endpoint_is_transient_and_shows_no_password(s3_server: S3Server) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://user:hunter2@127.0.0.1:{taken.getsockname()[1]}"
        source = S3Prefix(S3Source(kind="s3", uri="s3://some-bucket", endpoint_url=url), retries=0)
        with pytest.raises(TransientError, match=r"'some-bucket' at http://127\.0\.0\.1:\d+: the connection") as caught:
            source.check()
    assert "hunter2" not in str(caught.value)


def test_an_endpoint_that_is_no_url_is_refused(s3_server: S3Server) -> None:
    with pytest.raises(ConfigError, match=r"source\.endpoint_url"):
        S3Prefix(S3Source(kind="s3", uri="s3://some-bucket", endpoint_url="minio:9000"))
