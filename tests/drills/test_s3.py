"""S3 fails while a run lists, reads and writes, and objects change under it: nothing is lost, the cause is told."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.corpora import COLOURS, config, jpeg
from tests.drills.checks import NONE, Losses, check_failure, check_fully, held, losses, run_here, undisturbed_rows
from tests.drills.conftest import Record
from tests.filled import opened
from tests.pinecone_server.server import PineconeServer
from tests.processes import start, write_config
from tests.s3_server import S3Server

PER_LABEL = 8
TOTAL = PER_LABEL * len(COLOURS)
ALWAYS = 1_000_000


@pytest.fixture
def nightly(s3_server: S3Server, pinecone_environment: PineconeServer, tmp_path: Path) -> dict[str, Any]:
    """Two dozen images on S3 and the state in the same bucket; two runs' worth of parts of five rows."""
    bucket = s3_server.new_bucket()
    for label in COLOURS:
        for number in range(PER_LABEL):
            s3_server.client().put_object(Bucket=bucket, Key=f"photos/{label}/{number}.jpg", Body=jpeg(label, number))
    reach = {"endpoint_url": s3_server.endpoint_url, "region": "us-east-1"}
    source = {"kind": "s3", "uri": f"s3://{bucket}/photos", "metadata": "parent"} | reach
    index = {"kind": "pinecone", "name": "things"}
    return config(tmp_path, f"s3://{bucket}/pinery", source=source, index=index, state_s3=reach)


@pytest.fixture
def path(nightly: dict[str, Any], tmp_path: Path) -> Path:
    return write_config(tmp_path / "config.yaml", nightly)


def check_recovery(nightly: dict[str, Any], path: Path) -> Losses:
    """Once S3 is well again, another run goes on and ends with the index that is to be."""
    assert run_here(path)["verified"]
    check_fully(path)
    cost = losses(path, undisturbed_rows(nightly, path.parent))
    assert cost == NONE
    return cost


def started_and_planned(path: Path, server: PineconeServer) -> subprocess.Popen[str]:
    """A run that has listed and planned, and waits for its new index."""
    gate = server.faults.block("create_index")
    process = start("run", str(path), "--json")
    assert gate.arrived.wait(120)
    return process


@pytest.mark.slow
def test_objects_that_change_and_vanish_between_listing_and_fetch(
    nightly: dict[str, Any],
    path: Path,
    s3_server: S3Server,
    pinecone_environment: PineconeServer,
    drill_record: Record,
) -> None:
    process = started_and_planned(path, pinecone_environment)
    bucket, s3 = nightly["source"]["uri"].split("/")[2], s3_server.client()
    s3.put_object(Bucket=bucket, Key="photos/red/0.jpg", Body=jpeg("red", 100))
    s3.delete_object(Bucket=bucket, Key="photos/red/1.jpg")
    pinecone_environment.faults.clear()
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stdout + stderr
    assert {"red/0.jpg", "red/1.jpg"}.isdisjoint(held(path))
    assert len(held(path)) == TOTAL - 2
    drill_record("objects change and vanish amid a run", 1, check_recovery(nightly, path))
    assert len(held(path)) == TOTAL - 1


@pytest.mark.slow
def test_passing_faults_of_listings_reads_and_writes(
    nightly: dict[str, Any], path: Path, s3_server: S3Server, drill_record: Record
) -> None:
    for status in (503, 500):
        s3_server.fail(status, times=2, method="GET", key="")
        s3_server.fail(status, times=2, method="PUT", key="pinery/", after=status == 500)
    s3_server.cut(times=2, method="GET", key="photos/")
    drill_record("passing faults of S3", 1, check_recovery(nightly, path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "method", "key", "words"),
    [
        (500, "PUT", "pinery/test/{model}/parts/", "InternalError"),
        (403, "GET", "photos/", "AccessDenied"),
        (403, "PUT", "pinery/test/", "AccessDenied"),
    ],
    ids=["parts can't be written", "reading is denied", "writing is denied"],
)
@pytest.mark.timeout(400)
def test_s3_fails_for_good_amid_a_run(
    status: int,
    method: str,
    key: str,
    words: str,
    nightly: dict[str, Any],
    path: Path,
    s3_server: S3Server,
    pinecone_environment: PineconeServer,
    drill_record: Record,
) -> None:
    process = started_and_planned(path, pinecone_environment)
    model = opened(path).cards.card.key
    s3_server.fail(status, times=ALWAYS, method=method, key=key.format(model=model))
    pinecone_environment.faults.clear()
    check_failure(process, re.escape(words), rerun_helps=status != 403)  # nothing lets one in but other credentials
    s3_server.heal()
    drill_record("S3 fails or denies access amid a run", 1, check_recovery(nightly, path))


@pytest.mark.slow
@pytest.mark.parametrize("state", ["S3", "local"])
@pytest.mark.timeout(400)
def test_what_can_not_be_listed(
    state: str, nightly: dict[str, Any], path: Path, s3_server: S3Server, drill_record: Record
) -> None:
    if state == "local":  # then the source's listing is the first request
        nightly["state"] = str(path.parent / "state")
        write_config(path, nightly)
    s3_server.fail(500, times=ALWAYS, method="GET", key="")
    check_failure(start("run", str(path)), "InternalError")
    s3_server.heal()
    drill_record("S3 fails or denies access amid a run", 1, check_recovery(nightly, path))
