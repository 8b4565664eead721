"""Flow tests run against one Prefect server, a local Pinecone and a local S3."""

from __future__ import annotations

import pytest

from tests.pinecone_server.fixtures import pinecone_environment as pinecone_environment
from tests.pinecone_server.fixtures import pinecone_server as pinecone_server
from tests.s3_server import s3_server as s3_server


@pytest.fixture(autouse=True)
def _prefect(prefect_db: None) -> None:
    """Every test here runs flows."""
