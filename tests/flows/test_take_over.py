"""A lease taken over from a holder that isn't proven dead: what that one may have had in flight is written again."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from flows.reindex import reindex
from pinery.checkpoint.holder import parse_holder
from tests.corpora import config, paint
from tests.filled import bring
from tests.pinecone_server.server import PineconeServer


@pytest.fixture(params=[pytest.param("lance", marks=pytest.mark.slow), "pinecone"])
def settings(
    request: pytest.FixtureRequest, images: Path, tmp_path: Path, pinecone_environment: PineconeServer
) -> dict[str, Any]:
    """A corpus whose last run wrote one row."""
    made = config(
        images,
        tmp_path / "state",
        index={"kind": request.param},
        run={"part_rows": 5, "lease_ttl": 1},
        upsert={"request_timeout": 1},
    )
    bring(made)
    paint(images / "red-0.jpg", "blue", 99)
    assert bring(made).upserted == 1
    return made


def seem_silent(settings: dict[str, Any], **changes: Any) -> None:
    """The last run's lease as if its holder, on another host, had fallen silent."""
    [path] = Path(settings["state"]).glob("test/*/lease.json")
    found = parse_holder("lease.json", path.read_bytes())
    path.write_bytes(dataclasses.replace(found, **{"host": "elsewhere", "released": False, **changes}).to_bytes())


def test_its_last_window_is_written_again_by_this_run_and_by_the_next(settings: dict[str, Any]) -> None:
    seem_silent(settings)
    for _ in range(2):
        again = reindex(settings, wait=True)
        assert (again["unchanged"], again["upserted"], again["embedded"]) == (12, 1, 0)
    assert reindex(settings)["upserted"] == 0


def test_a_holder_that_let_go_with_a_request_unanswered_is_one_of_these(settings: dict[str, Any]) -> None:
    seem_silent(settings, released=True, quiet_in=0.2)
    assert [reindex(settings)["upserted"] for _ in range(3)] == [1, 1, 0]
