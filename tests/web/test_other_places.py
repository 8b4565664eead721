"""The page over a state and images on S3, and over the rows of data sets."""

import io
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.corpora import config, jpeg
from tests.filled import bring
from tests.pinecone_server.server import PineconeServer
from tests.s3_server import S3Server
from tests.sources.test_torchvision import Archives
from tests.sources.test_torchvision import archives as archives
from tests.web.asking import asking, site_of


def looked_at(client: TestClient, total: int) -> list[dict[str, Any]]:
    """Page through everything and look at each picture."""
    found = client.get("/api/items?limit=500").json()
    assert (found["total"], len(found["items"]), found["next"]) == (total, total, None)
    for one in found["items"]:
        for kind in ("thumb", "image"):
            answer = client.get(one[kind])
            assert answer.status_code == 200, answer.text
            Image.open(io.BytesIO(answer.content)).load()
    items: list[dict[str, Any]] = found["items"]
    return items


def test_state_and_images_on_s3(
    s3_server: S3Server, prompt_server: PineconeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in prompt_server.environment.items():
        monkeypatch.setenv(name, value)
    bucket = s3_server.new_bucket()
    for number in range(4):
        s3_server.client().put_object(Bucket=bucket, Key=f"photos/red-{number}.jpg", Body=jpeg("red", number))
    s3_server.client().put_object(Bucket=bucket, Key="secret.jpg", Body=jpeg("blue", 1))
    settings = config(tmp_path, f"s3://{bucket}/state", index={"kind": "pinecone"})
    place = {"endpoint_url": s3_server.endpoint_url, "region": "us-east-1"}
    settings["source"] = {"kind": "s3", "uri": f"s3://{bucket}/photos", "metadata": "^(?P<label>[^-]+)-"} | place
    settings["state_s3"] = place
    bring(settings)
    with asking(site_of(settings)) as client:
        items = looked_at(client, 4)
        assert client.get(items[0]["image"]).content == jpeg("red", 0)
        assert client.get("/api/facets?wait=60").json()["facets"][0]["values"] == [{"value": "red", "count": 4}]
        assert client.get('/api/items?filter={"label":"blue"}').json()["total"] == 0
        for id in ("secret.jpg", f"s3://{bucket}/secret.jpg", "../secret.jpg"):
            assert client.get("/image", params={"id": id}).status_code == 404
        assert len(client.get(f"/api/search?id={items[1]['id']}").json()["matches"]) == 3
        s3_server.client().put_object(Bucket=bucket, Key="photos/red-2.jpg", Body=jpeg("blue", 9))
        changed = client.get(items[2]["image"])
        assert (changed.status_code, "changed since" in changed.text) == (404, True)
        assert client.get("/api/status").json()["live"]["kind"] == "pinecone"


def test_the_rows_of_data_sets(archives: Archives, tmp_path: Path) -> None:
    settings = config(tmp_path, tmp_path / "state")
    settings["source"] = {"kind": "torchvision", "datasets": ["CIFAR10", "CIFAR100"], "root": str(tmp_path / "root")}
    listed = bring(settings).listed
    assert listed == 24
    with asking(site_of(settings)) as client:
        items = looked_at(client, listed)
        assert [items[0]["id"], items[-1]["id"]] == ["CIFAR10.0", "CIFAR100.3"]
        original = Image.open(io.BytesIO(client.get(items[3]["image"]).content))
        assert (original.size, client.get(items[3]["image"]).headers["content-type"]) == ((32, 32), "image/png")
        assert "Read-only" in client.get("/").text
