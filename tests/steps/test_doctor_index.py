"""The doctor's look at an index: reachable, and the one that a run would write to; nothing is created."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pinery.errors import AccessDeniedError, ConfigError, IndexMismatchError, PineryError, TransientError
from pinery.reports import Check
from pinery.steps.doctor_index import check_index
from tests.corpora import config
from tests.filled import bring, opened
from tests.pinecone_server.server import PineconeServer

KEY = "pcsk_a-key-that-is-nowhere"


@pytest.fixture
def settings(images: Path, tmp_path: Path, server: PineconeServer) -> dict[str, Any]:
    return config(images, tmp_path / "state", index={"kind": "pinecone"})


def looked(settings: dict[str, Any]) -> Check:
    corpus = opened(settings)
    return check_index(corpus, corpus.known_card())


def test_an_index_that_the_first_run_makes_is_not_made_yet(settings: dict[str, Any], server: PineconeServer) -> None:
    told = looked(settings)
    assert (told.verdict, told.found) == ("ok", "Pinecone takes the key; the first run makes the index")
    assert not Path(settings["state"]).exists()
    bring(settings)
    assert "holds 12 rows" in looked(settings).found
    named = settings | {"index": {"kind": "pinecone", "name": opened(settings).target.name}, "state": "/nowhere/state"}
    assert "which is there" in looked(named).found


def test_an_index_that_is_gone_is_made_by_the_next_run(settings: dict[str, Any]) -> None:
    bring(settings)
    anew = settings | {"index": {"kind": "pinecone", "name": "fresh"}}
    assert "fresh is not there yet, the next run makes it" in looked(anew).found


def test_a_missing_key_is_named(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PINECONE_API_KEY")
    with pytest.raises(AccessDeniedError, match="PINECONE_API_KEY is not set, neither here nor as the Prefect Secret"):
        looked(settings)


def test_a_refused_key_is_not_shown(
    settings: dict[str, Any], server: PineconeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.settings.api_key = "another"
    monkeypatch.setenv("PINECONE_API_KEY", KEY)
    with pytest.raises(AccessDeniedError, match="check PINECONE_API_KEY") as error:
        looked(settings)
    assert KEY not in str(error.value)


def test_a_service_that_does_not_answer_is_told(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PINECONE_CONTROLLER_HOST", "http://127.0.0.1:9")
    with pytest.raises(TransientError, match="Pinecone"):
        looked(settings)


def refusal(settings: dict[str, Any]) -> PineryError:
    with pytest.raises(PineryError) as error:
        looked(settings)
    return error.value


def test_what_a_run_would_refuse_is_told(settings: dict[str, Any], tmp_path: Path) -> None:
    bring(settings)
    shutil.copytree(settings["state"], tmp_path / "copy")
    other = settings | {"corpus": "other", "namespace": "test"}
    assert "belongs to corpus test" in str(refusal(other))
    euclidean = settings | {"index": {"kind": "pinecone", "metric": "euclidean"}}
    assert isinstance(refusal(euclidean), IndexMismatchError)
    (Path(settings["source"]["path"]) / "red-1.jpg").unlink()
    bring(settings)
    behind = refusal(settings | {"state": str(tmp_path / "copy")})
    assert "was last written by another copy of this state" in str(behind)
    fresh = config(Path(settings["source"]["path"]), tmp_path / "fresh")
    bring(fresh)
    there = {"kind": "pinecone", "name": opened(settings).target.name}
    assert "belongs to state" in str(refusal(fresh | {"index": there}))


def test_the_embedded_index_can_be_written_or_not(images: Path, tmp_path: Path) -> None:
    settings = config(images, tmp_path / "state")
    assert looked(settings).found == f"{tmp_path}/state/lance can be written; the first run makes the index"
    assert not (tmp_path / "state").exists()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "lance").touch()
    with pytest.raises(ConfigError, match="lance is no folder"):
        looked(settings)
    with pytest.raises(ConfigError, match="lance needs a local `state`"):
        check_index(opened(settings | {"state": "s3://bucket/x"}), None)
