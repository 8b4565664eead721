"""Secrets appear nowhere: not in what commands print, in the state, or in anything that Prefect keeps."""

import functools
import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL

from tests.corpora import COLOURS, config, jpeg
from tests.pinecone_server.server import PineconeServer
from tests.processes import pinery, write_config
from tests.s3_server import S3Server
from tests.small_models import squeezenet_weights

PINECONE_KEY = "pcsk_MARKEDpinecone7d1f0e"
AWS_SECRET = "MARKEDaws7d1f0eSecretAccessKey"
AWS_TOKEN = "MARKEDtoken7d1f0e"
MARK = b"7d1f0e"
PASSWORD = "MARKEDpassword7d1f0e"
SIGNATURE = "MARKEDsignature7d1f0e"
CANARY = "canary"
"""The names of the corpus and of its indexes have this: where a search doesn't find it, the search is blind."""
LOUD = {
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "PREFECT_LOGGING_TO_API_ENABLED": "true",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "pinery,pinecone,httpx,httpcore,boto3",
}


@pytest.fixture
def config_path(
    tmp_path: Path, pinecone_server: PineconeServer, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Twelve images and the state on S3, a Pinecone that takes the marked key alone, and marked secrets all around."""
    pinecone_server.settings.api_key = PINECONE_KEY
    pinecone_server.settings.grpc = True
    bucket = s3_server.new_bucket()
    for name, value in pinecone_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", AWS_SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", AWS_TOKEN)
    monkeypatch.setenv("PINERY_CACHE", str(tmp_path / "cache"))
    for label in COLOURS:
        for number in range(4):
            key = f"photos/{label}/{number}.jpg"
            s3_server.client().put_object(Bucket=bucket, Key=key, Body=jpeg(label, number))
    reach = {"endpoint_url": s3_server.endpoint_url, "region": "us-east-1"}
    source = {"kind": "s3", "uri": f"s3://{bucket}/photos", "metadata": "parent"} | reach
    index = {"kind": "pinecone", "name": f"{CANARY}-first"}
    upsert = {"outage_patience": 2, "load": "upsert"}
    made = config(tmp_path, f"s3://{bucket}/state", source=source, index=index, state_s3=reach, upsert=upsert)
    return write_config(tmp_path / "config.yaml", made | {"corpus": CANARY})


def printed(code: int | None, *arguments: str, **changes: str) -> bytes:
    ended = pinery(*arguments, **LOUD, **changes)
    assert code is None or ended.returncode == code, ended.stderr
    return (ended.stdout + ended.stderr).encode()


def of_what_works(path: str) -> Iterator[bytes]:
    yield printed(0, "run", path)
    yield printed(0, "run", path, "--json", PINERY_DEBUG="1")
    yield printed(0, "plan", path)
    yield printed(0, "upsert", path, "--index", f"{CANARY}-second", "--set", "index.transport=grpc")
    yield printed(0, "verify", path, "--full")
    yield printed(0, "search", path, "--id", "red/1.jpg")
    yield printed(0, "status", path)


def of_signed_addresses(path: str, folder: Path, site: str) -> Iterator[bytes]:
    """Commands whose weights and query image have addresses with a password and a signature, good ones and bad ones."""
    signed = f"http://me:{PASSWORD}@{site}/{{}}?X-Amz-Credential=x&X-Amz-Signature={SIGNATURE}"
    model = squeezenet_weights(folder)
    index = {"kind": "pinecone", "name": f"{CANARY}-third"}
    settings = yaml.safe_load(Path(path).read_text()) | {"corpus": f"{CANARY}-signed", "index": index}
    named = write_config(folder / "named.yaml", settings | {"model": model | {"weights": "$WEIGHTS_URL"}})
    held = write_config(folder / "held.yaml", settings | {"model": model | {"weights": signed.format("w.pth")}})
    away, none = signed.replace(site, "127.0.0.1:9").format("w.pth"), signed.format("none.pth")
    yield printed(1, "run", str(named), WEIGHTS_URL=away, PINERY_DEBUG="1")
    yield printed(2, "run", str(named), WEIGHTS_URL=none, PINERY_DEBUG="1")
    yield printed(0, "run", str(named), WEIGHTS_URL=signed.format("squeezenet.pth"))
    yield printed(2, "run", str(held))
    yield printed(2, "run", str(held), "--json", PINERY_DEBUG="1")
    yield printed(2, "deploy", str(held))
    for image in (signed.format("none.jpg"), away):
        yield printed(2, "search", path, "--image", image, "--json")
        yield printed(2, "search", path, "--image", image, PINERY_DEBUG="1")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The host and port of a server of the test's own files."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def of_what_fails(path: str, server: PineconeServer, s3_server: S3Server) -> Iterator[bytes]:
    """Commands that fail with stack traces on, against servers that repeat the secrets that they were sent."""
    echo = {"code": 3, "message": f"what is {PINECONE_KEY}?", "details": []}
    for status, code in ((400, None), (401, 1), (503, 1)):
        server.faults.push("upsert", status, times=None, body=echo)
        yield printed(code, "upsert", path, "--index", f"{CANARY}-{status}", PINERY_DEBUG="1")
        server.faults.clear()
    server.faults.push("describe_index", 401, times=None, body=echo)
    yield printed(1, "search", path, "--id", "red/1.jpg", PINERY_DEBUG="1")
    server.faults.clear()
    server.settings.api_key = "another"
    yield printed(1, "run", path, PINERY_DEBUG="1")
    yield printed(1, "verify", path, "--full", PINERY_DEBUG="1")
    server.settings.api_key = PINECONE_KEY
    bucket = urlsplit(bucket_uri(path)).netloc
    s3_server.client().put_object(Bucket=bucket, Key="photos/red/9.jpg", Body=jpeg("red", 9))
    s3_server.fail(403, times=1000, method="GET", key="photos/", code="AccessDenied")
    yield printed(1, "run", path, PINERY_DEBUG="1")
    s3_server.heal()


def bucket_uri(path: str) -> str:
    from pinery.config_file import load_config

    return load_config(path).state


def in_state(path: str, s3_server: S3Server, cache: Path) -> Iterator[bytes]:
    s3, bucket = s3_server.client(), urlsplit(bucket_uri(path)).netloc
    files = [file.read_bytes() for file in cache.rglob("*") if file.is_file()]
    for found in s3.list_objects_v2(Bucket=bucket, Prefix="state/")["Contents"]:
        answer = s3.get_object(Bucket=bucket, Key=found["Key"])
        files += [found["Key"].encode(), str(answer["Metadata"]).encode(), answer["Body"].read()]
    for data in files:
        yield data
        if data.startswith(b"PAR1"):
            table = pq.read_table(io.BytesIO(data))
            texts = [name for name in table.column_names if name != "values"]
            yield str(table.select(texts).to_pydict()).encode()


def in_prefect() -> dict[str, list[bytes]]:
    """All that the API tells, and the server's database as it lies on disk."""

    def dumped(found: list[Any]) -> list[bytes]:
        return [one.model_dump_json().encode() for one in found]

    texts: dict[str, list[bytes]] = {"runs": [], "logs": []}
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(limit=200)
        texts["runs"] = dumped(runs)
        texts["artifacts"] = dumped(client.read_artifacts(limit=200))
        texts["tasks"] = dumped(client.read_task_runs(limit=200))
        for offset in range(0, 4000, 200):
            texts["logs"] += dumped(client.read_logs(limit=200, offset=offset))
    assert len(runs) >= 10
    [*_, database] = str(PREFECT_API_DATABASE_CONNECTION_URL.value()).split("///")
    texts["database"] = [file.read_bytes() for file in Path(database).parent.glob(f"{Path(database).name}*")]
    return texts


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_secrets_are_nowhere(
    config_path: Path, pinecone_server: PineconeServer, s3_server: S3Server, site: str, tmp_path: Path
) -> None:
    path = str(config_path)
    texts = {"works": list(of_what_works(path)), "fails": list(of_what_fails(path, pinecone_server, s3_server))}
    texts["addresses"] = list(of_signed_addresses(path, tmp_path, site))
    texts["state"] = list(in_state(path, s3_server, tmp_path / "cache"))
    texts |= in_prefect()
    for where, found in texts.items():
        assert any(CANARY.encode() in text for text in found), f"nothing of the run is in {where}: the search is blind"
        for text in found:
            at = text.find(MARK)
            assert at < 0, f"a secret is in {where}: {text[max(0, at - 400) : at + 100]!r}"
