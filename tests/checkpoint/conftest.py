"""Both kinds of store, over real files and real HTTP."""

from pathlib import Path

import pytest

from pinery.checkpoint.s3_store import S3Store
from pinery.checkpoint.store import LocalStore, Store
from pinery.settings import S3Access
from tests.s3_server import S3Server


@pytest.fixture
def s3_store(s3_server: S3Server, tmp_path: Path) -> S3Store:
    settings = S3Access(endpoint_url=s3_server.endpoint_url, region="us-east-1")
    return S3Store(f"s3://{s3_server.new_bucket()}/some/state", settings, tmp_path / "cache", retries=2)


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return LocalStore(tmp_path / "state") if request.param == "local" else request.getfixturevalue("s3_store")
