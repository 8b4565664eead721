"""Removing a corpus takes its namespace from the index, and nothing else."""

from pathlib import Path
from typing import Any

import pytest

from pinery.corpus.progress import Silent
from pinery.errors import IndexMismatchError
from pinery.steps.remove import remove
from pinery.steps.status import status
from tests.corpora import config
from tests.filled import bring, opened
from tests.pinecone_server.server import PineconeServer


@pytest.fixture(params=["lance", "pinecone"])
def settings(
    request: pytest.FixtureRequest, images: Path, tmp_path: Path, pinecone_environment: PineconeServer
) -> dict[str, Any]:
    """A corpus of twelve images, in an index that it shares with another corpus."""
    made = config(images, tmp_path / "state", index={"kind": request.param, "name": "shared"})
    bring(made)
    bring(made | {"corpus": "other", "namespace": "other"})
    return made


def rows(settings: dict[str, Any], namespace: str) -> int:
    return opened(settings | {"namespace": namespace}).target.index.count()


def test_without_yes_the_rows_are_only_counted(settings: dict[str, Any]) -> None:
    told = remove(opened(settings), really=False, progress=Silent()).to_dict()
    assert (told["rows"], told["removed"], told["namespace"]) == (12, False, "test")
    assert rows(settings, "test") == 12
    assert bring(settings).unchanged == 12


def test_the_namespace_goes_and_the_index_and_its_other_namespaces_stay(settings: dict[str, Any]) -> None:
    told = remove(opened(settings), really=True, progress=Silent()).to_dict()
    assert (told["rows"], told["removed"]) == (12, True)
    assert (rows(settings, "test"), rows(settings, "other")) == (0, 12)
    corpus = opened(settings)
    assert corpus.target.index.describe() is not None
    assert corpus.alias()[0].live is None
    assert status(corpus).to_dict()["live"] is None
    assert bring(settings | {"corpus": "other", "namespace": "other"}).unchanged == 12


def test_a_removed_corpus_comes_back_from_its_checkpoint(settings: dict[str, Any]) -> None:
    remove(opened(settings), really=True, progress=Silent()).to_dict()
    report = bring(settings)
    assert (report.embedded, report.upserted) == (0, 12)
    assert rows(settings, "test") == 12
    assert opened(settings).alias()[0].live is not None


def test_another_corpus_may_have_the_namespace_then(settings: dict[str, Any]) -> None:
    heir = settings | {"corpus": "heir", "namespace": "test"}
    with pytest.raises(IndexMismatchError, match="belongs to corpus test"):
        bring(heir)
    with pytest.raises(IndexMismatchError, match="belongs to corpus test"):
        remove(opened(heir), really=True, progress=Silent()).to_dict()
    remove(opened(settings), really=True, progress=Silent()).to_dict()
    assert bring(heir).upserted == 12


def test_a_corpus_that_was_never_run_has_no_rows(images: Path, tmp_path: Path) -> None:
    made = config(images, tmp_path / "state")
    assert remove(opened(made), really=True, progress=Silent()).to_dict()["rows"] == 0
