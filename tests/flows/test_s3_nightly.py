"""The nightly job: images on S3, state on S3, a Pinecone index; faults of S3 and of the index are survived or told."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException

from flows.reindex import reindex
from pinery.errors import AccessDeniedError, ConfigError
from pinery.records import Stored
from pinery.steps.status import status
from tests.corpora import COLOURS, jpeg
from tests.filled import opened, rows_of
from tests.pinecone_server.server import PineconeServer
from tests.s3_server import S3Server


@pytest.fixture
def nightly(s3_server: S3Server, pinecone_environment: PineconeServer) -> dict[str, Any]:
    """Twelve images under photos/<label>/, state in the same bucket."""
    bucket = s3_server.new_bucket()
    for label in COLOURS:
        for number in range(4):
            s3_server.client().put_object(Bucket=bucket, Key=f"photos/{label}/{number}.jpg", Body=jpeg(label, number))
    return {
        "corpus": "test",
        "source": {
            "kind": "s3",
            "uri": f"s3://{bucket}/photos",
            "metadata": "parent",
            "endpoint_url": s3_server.endpoint_url,
            "region": "us-east-1",
        },
        "model": "descriptor",
        "index": {"kind": "pinecone"},
        "state": f"s3://{bucket}/pinery",
        "state_s3": {"endpoint_url": s3_server.endpoint_url, "region": "us-east-1"},
        "run": {"part_rows": 5},
    }


def bucket_of(settings: dict[str, Any]) -> str:
    return str(settings["source"]["uri"]).split("/")[2]


def test_a_nightly_run_does_only_what_changed(nightly: dict[str, Any], s3_server: S3Server) -> None:
    first = reindex(nightly)
    assert (first["embedded"], first["upserted"], first["parts"], first["verified"]) == (12, 12, 3, True)
    assert rows_of(nightly)["red/1.jpg"].metadata == {"label": "red"}
    s3_server.reset_counts()
    second = reindex(nightly)
    assert (second["unchanged"], second["embedded"], second["upserted"]) == (12, 0, 0)
    assert s3_server.count("GET", "photos/") == 0, "a rerun with nothing to do reads no image"

    bucket, s3 = bucket_of(nightly), s3_server.client()
    s3.put_object(Bucket=bucket, Key="photos/red/0.jpg", Body=jpeg("red", 100))
    s3.put_object(Bucket=bucket, Key="photos/blue/9.jpg", Body=jpeg("blue", 9))
    s3.delete_object(Bucket=bucket, Key="photos/green/3.jpg")
    s3_server.reset_counts()
    third = reindex(nightly)
    assert (third["new"], third["changed"], third["deleted"]) == (1, 1, 1)
    assert (third["embedded"], third["upserted"]) == (2, 2)
    assert s3_server.count("GET", "photos/") == 2
    assert "green/3.jpg" not in rows_of(nightly)


@pytest.mark.slow
def test_a_state_deleted_and_begun_anew_is_not_taken_for_the_old_one(
    nightly: dict[str, Any], s3_server: S3Server
) -> None:
    bucket, s3 = bucket_of(nightly), s3_server.client()
    nightly["index"]["name"] = "first"
    reindex(nightly)
    for found in s3.list_objects_v2(Bucket=bucket, Prefix="pinery/")["Contents"]:
        s3.delete_object(Bucket=bucket, Key=found["Key"])
    s3.delete_object(Bucket=bucket, Key="photos/blue/0.jpg")
    nightly["index"]["name"] = "second"
    assert reindex(nightly)["embedded"] == 11
    expected = rows_of(nightly)["red/0.jpg"].values
    s3.copy_object(Bucket=bucket, CopySource=f"{bucket}/photos/red/0.jpg", Key="photos/red/8.jpg")
    report = reindex(nightly)
    assert (report["embedded"], report["reused"]) == (0, 1)
    assert rows_of(nightly)["red/8.jpg"].values == expected


def test_the_key_is_in_no_file_report_or_artifact(
    nightly: dict[str, Any], s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    marked = "pcsk_MARKED_SECRET"
    monkeypatch.setenv("PINECONE_API_KEY", marked)
    monkeypatch.setenv("PINERY_CACHE", str(tmp_path / "cache"))
    reindex(nightly)
    nightly["index"]["region"] = "nowhere"
    nightly["index"]["name"] = "other"
    with pytest.raises(ConfigError) as caught:
        reindex(nightly)
    s3, bucket = s3_server.client(), bucket_of(nightly)
    texts = [str(caught.value).encode()]
    for found in s3.list_objects_v2(Bucket=bucket, Prefix="pinery/")["Contents"]:
        texts.append(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read())
    texts += [path.read_bytes() for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    with get_client(sync_client=True) as client:
        texts += [artifact.model_dump_json().encode() for artifact in client.read_artifacts()]
        texts += [run.model_dump_json().encode() for run in client.read_flow_runs()]
    assert len(texts) > 10
    assert not any(marked.encode() in text for text in texts)


def test_passing_faults_of_s3_cost_only_time(nightly: dict[str, Any], s3_server: S3Server) -> None:
    s3_server.fail(503, times=2, method="GET", key="photos/red")
    s3_server.cut(times=1, method="GET", key="photos/blue")
    s3_server.fail(500, times=1, method="PUT", key="pinery/test", after=True)
    assert reindex(nightly)["upserted"] == 12


def test_an_object_that_changes_after_the_listing_is_moved_not_quarantined(
    nightly: dict[str, Any], s3_server: S3Server
) -> None:
    nightly["model"] = EXACT
    s3_server.fail(412, method="GET", key="photos/red/0.jpg")
    s3_server.fail(404, method="GET", key="photos/red/1.jpg")
    report = reindex(nightly)
    assert (report["moved"], report["quarantined"], report["embedded"]) == (2, 0, 10)
    assert reindex(nightly)["embedded"] == 2, "the next run sees them as they are"


@pytest.mark.slow
def test_access_denied_in_the_middle_fails_the_run_and_keeps_what_is_published(
    nightly: dict[str, Any], s3_server: S3Server
) -> None:
    nightly["model"] = EXACT
    reindex(nightly, limit=5)
    s3_server.fail(403, times=1000, method="GET", key="photos/")
    with pytest.raises(AccessDeniedError, match=r"photos/"):
        reindex(nightly)
    s3_server.heal()
    report = reindex(nightly)
    assert (report["embedded"], report["quarantined"]) == (7, 0), "what was published before the failure is kept"
    assert len(rows_of(nightly)) == 12


def test_an_outage_of_the_index_is_waited_out(nightly: dict[str, Any], pinecone_environment: PineconeServer) -> None:
    pinecone_environment.faults.push("upsert", 503, times=3)
    pinecone_environment.faults.push("describe_index", 503, times=3)
    pinecone_environment.faults.push("stats", 503, times=3)
    assert reindex(nightly)["upserted"] == 12


@pytest.mark.slow
def test_an_outage_beyond_patience_fails_resumably(
    nightly: dict[str, Any], pinecone_environment: PineconeServer
) -> None:
    nightly["upsert"] = {"outage_patience": 0}
    pinecone_environment.faults.push("upsert", 503, times=None)
    with pytest.raises(Exception, match="503") as caught:
        reindex(nightly)
    assert not isinstance(caught.value, PrefectException)
    pinecone_environment.faults.clear()
    report = reindex(nightly)
    assert report["embedded"] < 12, "published parts are not embedded again"
    assert report["verified"]
    assert len(rows_of(nightly)) == 12


EXACT = {"name": "descriptor", "decode": "exact"}
"""A model that leaves nothing to be decided on the first images, so that each is read once."""


def printed(id: str, stored: Stored) -> int:
    """About how many bytes a row has in a request."""
    values = np.asarray(stored.values, np.float32)
    return len(orjson.dumps([id, values, stored.metadata], option=orjson.OPT_SERIALIZE_NUMPY))


def test_a_row_that_the_index_refuses_is_rejected_by_name_and_not_sent_again(
    nightly: dict[str, Any], s3_server: S3Server, pinecone_environment: PineconeServer
) -> None:
    nightly["source"]["metadata"] = "^(?P<label>[^/]+)/(?P<name>.+)$"
    key = f"photos/red/{'long' * 230}.jpg"
    s3_server.client().put_object(Bucket=bucket_of(nightly), Key=key, Body=jpeg("red", 50))
    assert reindex(nightly)["upserted"] == 13
    sizes = {id: printed(id, stored) for id, stored in rows_of(nightly).items()}
    [*others, longest] = sorted(sizes.values())
    assert max(others) + 500 < longest
    pinecone_environment.settings.max_body = longest  # without the request's frame, so the longest row is too much
    nightly["namespace"] = "fresh"
    report = reindex(nightly)
    assert (report["embedded"], report["upserted"], report["rejected"]) == (0, 12, 1)
    [row] = status(opened(nightly)).to_dict()["rejected"]
    assert row["uri"].endswith(key)
    assert row["reason"]
    pinecone_environment.log.clear()
    again = reindex(nightly)
    assert (again["rejected"], again["unchanged"], again["upserted"]) == (1, 12, 0)
    assert pinecone_environment.log.count("upsert") == 0


@pytest.mark.slow
def test_a_rejected_row_is_sent_again_when_asked_to(
    nightly: dict[str, Any], pinecone_environment: PineconeServer, s3_server: S3Server
) -> None:
    reindex(nightly)
    s3_server.client().put_object(Bucket=bucket_of(nightly), Key="photos/red/9.jpg", Body=jpeg("red", 9))
    pinecone_environment.faults.push("upsert", 400, times=1, body={"code": 3, "message": "not this one"})
    assert (report := reindex(nightly))["rejected"] == 1, report
    assert reindex(nightly)["rejected"] == 1
    again = reindex(nightly, retry_quarantined=True)
    assert (again["upserted"], again["rejected"]) == (1, 0)
    assert status(opened(nightly)).to_dict()["rejected"] == []
    assert reindex(nightly)["unchanged"] == 13


def test_the_key_may_come_from_a_secret_block(
    nightly: dict[str, Any], monkeypatch: pytest.MonkeyPatch, save_secret: Callable[[str, str], None]
) -> None:
    key = os.environ["PINECONE_API_KEY"]
    monkeypatch.delenv("PINECONE_API_KEY")
    with pytest.raises(ConfigError, match="PINECONE_API_KEY"):
        reindex(nightly)
    save_secret("pinecone-api-key", key)
    assert reindex(nightly)["upserted"] == 12
    monkeypatch.delenv("PINECONE_API_KEY")
