"""A new namespace filled by one bulk import: from a clean export, once, whatever becomes of the run that began it."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flows.reindex import reindex
from flows.verify import verify
from pinery.checkpoint.imports import ImportRecord, ImportRecords
from pinery.corpus.progress import Silent
from pinery.errors import ConfigError, TerminalError
from pinery.steps.remove import remove
from tests.corpora import config, paint
from tests.filled import opened, rows_of
from tests.pinecone_server.server import PineconeServer
from tests.processes import start, wait_until, write_config
from tests.s3_server import S3Server

INDEX = {"kind": "pinecone", "name": "things", "integration_id": "bucket-reader"}


@pytest.fixture
def server(pinecone_environment: PineconeServer, s3_server: S3Server) -> Iterator[PineconeServer]:
    """A Pinecone that imports from the local S3, if told which integration to use."""
    before = (pinecone_environment.settings.s3_endpoint, pinecone_environment.settings.integration_id)
    pinecone_environment.settings.s3_endpoint = s3_server.endpoint_url
    pinecone_environment.settings.integration_id = "bucket-reader"
    yield pinecone_environment
    pinecone_environment.release_imports()
    pinecone_environment.settings.s3_endpoint, pinecone_environment.settings.integration_id = before


@pytest.fixture
def settings(server: PineconeServer, s3_server: S3Server, images: Path) -> dict[str, Any]:
    """Twelve images in a folder, two of them the same picture; state on S3; `load: import`."""
    paint(images / "blue-9.jpg", "blue", 0)
    state_s3 = {"endpoint_url": s3_server.endpoint_url, "region": "us-east-1"}
    state = f"s3://{s3_server.new_bucket()}/pinery"
    return config(images, state, index=INDEX, state_s3=state_s3, upsert={"load": "import"})


def keys(settings: dict[str, Any], s3_server: S3Server, part: str) -> list[str]:
    bucket = settings["state"].split("/")[2]
    listed = s3_server.client().list_objects_v2(Bucket=bucket).get("Contents", [])
    return [entry["Key"] for entry in listed if part in entry["Key"]]


def records(settings: dict[str, Any]) -> list[ImportRecord]:
    corpus = opened(settings)
    return ImportRecords(corpus.store, corpus.target.recorded_at).all()


def upserted_ids(server: PineconeServer) -> int:
    return sum(entry.records for entry in server.log.entries if entry.op == "upsert" and entry.status == 200)


@contextlib.contextmanager
def running_beside(server: PineconeServer, settings: dict[str, Any]) -> Iterator[Future[dict[str, Any]]]:
    """A run on another thread, whose imports are let go at the end, whatever the end is."""
    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(reindex, settings)
        finally:
            server.release_imports()


def test_a_new_namespace_is_imported_and_only_what_the_import_left_out_is_upserted(
    settings: dict[str, Any], server: PineconeServer, s3_server: S3Server
) -> None:
    report = reindex(settings)
    assert (report["imported"], report["upserted"]) == (12, 1)
    assert report["verified"]
    assert server.imports("things").disturbed == []
    assert upserted_ids(server) == 1, "the second of two equal vectors"
    assert len(rows_of(settings)) == 13
    assert rows_of(settings)["red-1.jpg"].metadata == {"label": "red"}
    assert keys(settings, s3_server, "/exports/") == [], "an export is removed once its rows are entered"
    assert [record.state for record in records(settings)] == ["done"]
    assert verify(settings, full=True)["missing"] == 0
    again = reindex(settings)
    assert (again["imported"], again["upserted"], again["unchanged"]) == (0, 0, 13)


def killed_while_importing(settings: dict[str, Any], server: PineconeServer, folder: Path) -> None:
    """A run that dies by kill -9 while its import is under way."""
    server.hold_imports("InProgress")
    process = start("run", str(write_config(folder / "config.yaml", settings)))
    wait_until(lambda: server.log.count("describe_import") > 0, process)
    process.kill()
    process.wait()


@pytest.mark.slow
def test_a_later_run_waits_for_the_import_of_an_earlier_one(
    settings: dict[str, Any], server: PineconeServer, tmp_path: Path, images: Path
) -> None:
    killed_while_importing(settings, server, tmp_path)
    (images / "red-0.jpg").unlink()
    paint(images / "green-7.jpg", "green", 7)
    with running_beside(server, settings | {"upsert": {"load": "upsert"}}) as running:
        assert server.log.wait_for("describe_import", server.log.count("describe_import") + 1)
        server.release_imports()
        report = running.result(60)
    assert len(server.imports("things").runs) == 1
    assert server.imports("things").disturbed == [], "nothing is upserted while an import is under way"
    assert (report["imported"], report["embedded"], report["deleted"]) == (12, 1, 1)
    assert sorted(rows_of(settings)) == sorted(path.name for path in images.iterdir())


def test_an_import_whose_start_was_never_heard_of_is_found_by_its_uri(
    settings: dict[str, Any], server: PineconeServer
) -> None:
    server.faults.push("start_import", 503, times=1, after=True, headers={"Retry-After": "0"})
    report = reindex(settings)
    assert report["imported"] == 12
    assert report["verified"]


@pytest.mark.slow
def test_a_run_killed_before_its_id_was_written_down_starts_no_second_import(
    settings: dict[str, Any], server: PineconeServer, tmp_path: Path
) -> None:
    killed_while_importing(settings, server, tmp_path)
    corpus = opened(settings)
    [record] = records(settings)
    assert record.id == "1"
    ImportRecords(corpus.store, corpus.target.recorded_at).write(
        ImportRecord(record.name, record.uri, record.incarnation, record.rows, None, "ready")
    )
    server.release_imports()
    assert reindex(settings)["imported"] == 12
    assert len(server.imports("things").runs) == 1


def test_a_failed_import_says_why_and_the_next_run_upserts(
    settings: dict[str, Any], server: PineconeServer, s3_server: S3Server
) -> None:
    server.hold_imports("Pending")
    with running_beside(server, settings) as running:
        assert server.log.wait_for("start_import", 1, timeout=60)
        assert server.wait_for_import("things", "1", "Pending")
        [first, *_] = keys(settings, s3_server, "/exports/")
        bucket = settings["state"].split("/")[2]
        s3_server.client().put_object(Bucket=bucket, Key=first, Body=b"no parquet")
        server.release_imports()
        with pytest.raises(TerminalError, match=r"import 1 of s3://.* failed \(Failed: .*Parquet footer") as caught:
            running.result(60)
    assert "`pinery run` or `pinery upsert` loads the rows by upserts now" in str(caught.value)
    assert keys(settings, s3_server, "/exports/") == []
    assert [record.state for record in records(settings)] == ["failed"]
    report = reindex(settings)
    assert (report["imported"], report["upserted"], report["embedded"]) == (0, 13, 0)
    assert len(rows_of(settings)) == 13


@pytest.mark.slow
def test_an_import_into_an_index_that_is_gone_is_forgotten(
    settings: dict[str, Any], server: PineconeServer, tmp_path: Path
) -> None:
    killed_while_importing(settings, server, tmp_path)
    server.release_imports()
    corpus = opened(settings)
    corpus.target.index._session.control(lambda client: client.indexes.delete("things"))  # type: ignore[attr-defined]
    report = reindex(settings)
    assert (report["imported"], report["embedded"]) == (12, 0)
    assert sorted(record.state for record in records(settings)) == ["done", "done"]
    assert len(rows_of(settings)) == 13


def test_auto_imports_neither_few_rows_nor_into_a_namespace_that_exists(
    settings: dict[str, Any], server: PineconeServer, images: Path
) -> None:
    automatic = settings | {"upsert": {"load": "auto"}}
    assert reindex(automatic)["imported"] == 0, "twelve rows are upserted sooner"
    paint(images / "green-7.jpg", "green", 7)
    report = reindex(settings)
    assert (report["imported"], report["upserted"]) == (0, 1)
    assert server.imports("things").runs == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"index": {"kind": "lance"}}, "index.kind is not pinecone"),
        ({"state": "/tmp/state"}, "`state` is not on S3"),
        ({"index": INDEX | {"cloud": "gcp", "region": "us-central1"}}, "index.cloud is gcp"),
        ({"namespace": "a/b"}, "the namespace has a slash in its name"),
    ],
    ids=str,
)
def test_an_import_that_can_not_be_is_told_before_anything_starts(
    settings: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        reindex(settings | change)


def test_an_import_that_pinecone_refuses_fails_one_run_and_the_next_upserts(
    settings: dict[str, Any], server: PineconeServer
) -> None:
    body = {"code": 7, "message": "imports are not part of this plan"}
    server.faults.push("start_import", 403, times=None, body=body)
    with pytest.raises(TerminalError, match="imports are not part of this plan"):
        reindex(settings)
    report = reindex(settings)
    assert (report["imported"], report["upserted"], report["embedded"]) == (0, 13, 0)


def test_a_corpus_is_removed_only_once_its_import_is_over(
    settings: dict[str, Any], server: PineconeServer, tmp_path: Path
) -> None:
    killed_while_importing(settings, server, tmp_path)
    with ThreadPoolExecutor(1) as pool:
        try:
            removing = pool.submit(remove, opened(settings), really=True, progress=Silent())
            assert server.log.wait_for("describe_import", server.log.count("describe_import") + 1)
        finally:
            server.release_imports()
        assert removing.result(60).rows == 12
    assert rows_of(settings) == {}
    assert reindex(settings)["held"] == 13
