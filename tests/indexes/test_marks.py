"""An index of either kind remembers a mark per namespace."""

from collections.abc import Callable
from pathlib import Path

import pinecone
import pytest

from pinery.indexes.lance import LanceIndex
from pinery.indexes.pinecone import PineconeIndex
from pinery.indexes.protocol import Index
from pinery.records import Identity
from pinery.target_settings import LanceSettings, PineconeSettings
from tests.pinecone_server import PineconeServer

IDENTITY = Identity("state", "inc", "model")
Open = Callable[[str], Index]


@pytest.fixture(params=["lance", "pinecone"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, pinecone_environment: PineconeServer) -> Open:
    """Opens the index on a namespace."""

    def lance(namespace: str) -> Index:
        return LanceIndex(LanceSettings(), tmp_path / "things", "things", namespace, 2)

    def cloud(namespace: str) -> Index:
        return PineconeIndex(PineconeSettings(kind="pinecone"), "things", namespace, 2)

    return lance if request.param == "lance" else cloud


def test_a_namespace_keeps_the_newest_mark_and_no_others(opened: Open) -> None:
    index = opened("a")
    assert index.read_mark() is None
    index.ensure(IDENTITY)
    assert index.read_mark() is None
    for mark in ("7-1a2b3c4d", "8-ffffffff"):
        assert index.leave_mark(mark)
        assert (index.read_mark(), opened("a").read_mark(), opened("b").read_mark()) == (mark, mark, None)
    assert opened("b").leave_mark("1-0")
    assert index.leave_mark("")
    assert (index.read_mark(), opened("b").read_mark()) == (None, "1-0")
    assert index.describe() == IDENTITY


def test_where_all_tags_are_taken_there_is_no_mark(pinecone_environment: PineconeServer) -> None:
    index = PineconeIndex(PineconeSettings(kind="pinecone"), "things", "n", 2)
    index.ensure(IDENTITY)
    pinecone.Pinecone().indexes.configure("things", tags={f"own-{at}": "x" for at in range(17)})
    assert not index.leave_mark("1-a")
    assert index.read_mark() is None
