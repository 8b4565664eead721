"""A faithful local Pinecone over HTTP, in memory: the real SDK talks to it as to the service.

In a test:      `with PineconeServer() as server: monkeypatch.setenv(...server.environment...)`
By hand:        `python -m tests.pinecone_server --port 5080`

It serves classic (vectors) indexes over REST and gRPC, with bulk import from S3: no document indexes, no sparse
vectors. `docs/local-pinecone.md` tells how to use it by hand.
"""

from tests.pinecone_server.server import PineconeServer

__all__ = ["PineconeServer"]
