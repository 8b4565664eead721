"""Fixtures with a local Pinecone, which every test may ask for."""

import itertools
from collections.abc import Iterator

import pytest

from tests.pinecone_server.server import PineconeServer
from tests.pinecone_server.settings import Settings

_numbers = itertools.count(2)


def isolated_server(settings: Settings | None = None) -> PineconeServer:
    """A started server on a loopback host that no other in this process has.

    The SDK keeps its retry budget and its admission gate per process and host without the port, so faults on a
    shared host would leak from test to test.
    """
    number = next(_numbers)
    server = PineconeServer(host=f"127.0.{number // 250}.{number % 250 + 2}", settings=settings)
    try:
        server.start()
    except OSError:  # macOS has only 127.0.0.1 on its loopback
        server = PineconeServer(settings=settings)
        server.start()
    return server


def prompt() -> Settings:
    """New indexes are ready and writes visible at once."""
    return Settings(ready_after=0, lag=0)


@pytest.fixture
def pinecone_server() -> Iterator[PineconeServer]:
    """A fresh local Pinecone, stopped after the test. As the service's, its writes are visible a little later only."""
    server = isolated_server()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def module_server() -> Iterator[PineconeServer]:
    """A server for all tests of a module, with the environment pointing the SDK at it meanwhile."""
    server = isolated_server()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in server.environment.items():
            environment.setenv(name, value)
        yield server
    server.stop()


@pytest.fixture
def prompt_server() -> Iterator[PineconeServer]:
    """A `pinecone_server` whose new indexes are ready, and whose writes are visible, at once."""
    server = isolated_server(prompt())
    yield server
    server.stop()


@pytest.fixture
def pinecone_environment(pinecone_server: PineconeServer, monkeypatch: pytest.MonkeyPatch) -> PineconeServer:
    """`pinecone_server`, with the environment pointing the SDK at it."""
    for name, value in pinecone_server.environment.items():
        monkeypatch.setenv(name, value)
    return pinecone_server


@pytest.fixture
def server(pinecone_environment: PineconeServer) -> PineconeServer:
    """`pinecone_environment` by a shorter name."""
    return pinecone_environment
