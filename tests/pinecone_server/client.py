"""Asking a local Pinecone in a test: with the real SDK, or by plain HTTP for what the SDK can't send."""

from typing import Any

import httpx
import pinecone

from tests.pinecone_server.server import PineconeServer

OLD = {"Api-Key": "local", "X-Pinecone-Api-Version": "2025-04"}
NEW = {"Api-Key": "local", "X-Pinecone-Api-Version": "2026-07"}
GOOD: dict[str, Any] = {"id": "a", "values": [1.0, 0.0, 0.0]}
"""A vector that an index of three dimensions takes."""


def connect(server: PineconeServer) -> pinecone.Pinecone:
    """The SDK's client of the control plane."""
    return pinecone.Pinecone(api_key="local", host=server.url)


def create(client: pinecone.Pinecone, name: str, dimension: int = 3, metric: str = "cosine", **options: Any) -> Any:
    """A new index, opened for REST."""
    spec = options.pop("spec", None) or pinecone.ServerlessSpec(cloud="aws", region="us-east-1")
    client.indexes.create(name=name, dimension=dimension, metric=metric, spec=spec, **options)
    return client.index(name=name)


def rows(*ids: str, dimension: int = 3) -> list[tuple[str, list[float], dict[str, Any]]]:
    """Vectors of up to three dimensions, all different."""
    return [(id, [1.0, float(row), 0.5][:dimension], {"row": row, "id": id}) for row, id in enumerate(ids)]


def raw_upsert(server: PineconeServer, name: str, vector: dict[str, Any], namespace: str = "") -> httpx.Response:
    """One upsert without the SDK's retries."""
    body = {"vectors": [vector], "namespace": namespace}
    # Nothing is encrypted here, and reading the system's certificates takes longer than the request.
    return httpx.post(f"{server.url}/ix/{name}/vectors/upsert", headers=NEW, json=body, verify=False)
