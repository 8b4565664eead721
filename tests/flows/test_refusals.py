"""A refusal by the index is the rows' fault only while the index takes a row that it holds."""

from pathlib import Path
from typing import Any

import pytest

from flows.reindex import reindex
from pinery.errors import TerminalError, TransientError
from pinery.steps.status import status
from tests.corpora import config, paint
from tests.filled import bring, opened, rows_of
from tests.pinecone_server.server import PineconeServer

NO_WRITES = {"code": 9, "message": "Index is not in a state to take writes"}


@pytest.fixture
def settings(images: Path, tmp_path: Path, pinecone_environment: PineconeServer) -> dict[str, Any]:
    """A corpus whose twelve rows are in a Pinecone index."""
    settings = config(images, tmp_path / "state", index={"kind": "pinecone"})
    bring(settings)
    return settings


@pytest.mark.parametrize("changed", [1, 4, 9])
def test_a_night_on_which_the_index_takes_nothing_records_and_deletes_nothing(
    settings: dict[str, Any], images: Path, pinecone_environment: PineconeServer, changed: int
) -> None:
    before = rows_of(settings)
    for number, path in enumerate(sorted(images.iterdir())[:changed]):
        paint(path, "red", 100 + number)
    pinecone_environment.faults.push("upsert", 400, times=None, body=NO_WRITES)
    for _ in range(2):
        with pytest.raises(TransientError, match=r"not in a state .* a row that it holds as well"):
            reindex(settings)
    assert rows_of(settings) == before
    assert status(opened(settings)).to_dict()["rejected"] == []
    pinecone_environment.faults.clear()
    report = reindex(settings)
    assert (report["upserted"], report["rejected"], report["deleted"]) == (changed, 0, 0)
    assert len(rows_of(settings)) == 12


def test_an_index_that_stops_taking_rows_between_two_parts_records_none_of_the_second(
    settings: dict[str, Any], images: Path, pinecone_environment: PineconeServer
) -> None:
    for number, path in enumerate(sorted(images.iterdir())[:8]):
        paint(path, "red", 100 + number)
    pinecone_environment.faults.block("upsert").release()  # the first request passes
    pinecone_environment.faults.push("upsert", 400, times=None, body=NO_WRITES)
    with pytest.raises(TransientError, match="a row that it holds as well"):
        reindex(settings)
    assert status(opened(settings)).to_dict()["rejected"] == []
    assert len(rows_of(settings)) == 12
    pinecone_environment.faults.clear()
    assert reindex(settings)["upserted"] == 3


def test_rows_refused_while_the_index_could_take_none_are_sent_once_more(
    settings: dict[str, Any], images: Path, pinecone_environment: PineconeServer
) -> None:
    for number, path in enumerate(sorted(images.iterdir())[:3]):
        paint(path, "red", 100 + number)
    pinecone_environment.faults.push("upsert", 400, times=5, body=NO_WRITES)  # three rows, halved, take five requests
    report = reindex(settings)
    assert (report["upserted"], report["rejected"], report["deleted"]) == (3, 0, 0)


def test_an_index_that_holds_nothing_is_not_asked_and_nothing_is_recorded(
    images: Path, tmp_path: Path, pinecone_environment: PineconeServer
) -> None:
    settings = config(images, tmp_path / "other", index={"kind": "pinecone", "name": "fresh"})
    pinecone_environment.faults.push("upsert", 400, times=None, body=NO_WRITES)
    with pytest.raises(TerminalError, match="refused all 12 rows of this run"):
        reindex(settings)
    pinecone_environment.faults.clear()
    assert reindex(settings)["upserted"] == 12
