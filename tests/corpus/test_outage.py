"""Requests of a run to its index: repeated through an outage, under the lease; and the wait for what was written."""

from pathlib import Path
from typing import Any

import pytest

from pinery.corpus import outage
from pinery.corpus.open_run import open_run
from pinery.corpus.outage import patience, retry_through_outage, settle
from pinery.errors import LeaseLostError, TerminalError, TransientError
from tests.corpora import config
from tests.filled import Failing, Heard, holding, opened
from tests.indexes.rows import batch
from tests.pinecone_server.server import PineconeServer


def test_what_may_pass_is_repeated_and_told(filled: dict[str, Any]) -> None:
    heard, action = Heard(), Failing(TransientError("503", retry_after=0.01), times=1)
    with open_run(opened(filled), progress=heard) as run:
        assert retry_through_outage(run.main, action) == "answer"
    assert action.calls == 2
    assert [text.partition(";")[0] for text in heard.notes] == ["503"]


def test_what_can_not_pass_is_not_repeated(filled: dict[str, Any]) -> None:
    action = Failing(TerminalError("no such index"), times=9)
    with open_run(opened(filled)) as run, pytest.raises(TerminalError, match="no such index"):
        retry_through_outage(run.main, action)
    assert action.calls == 1


def test_an_outage_that_outlasts_the_configs_patience_ends_the_run(filled: dict[str, Any]) -> None:
    action = Failing(TransientError("503"), times=9)
    with open_run(opened(filled | {"upsert": {"outage_patience": 0}})) as run:
        assert patience(run.main).seconds == 0
        with pytest.raises(TransientError, match="503"):
            retry_through_outage(run.main, action)
    assert action.calls == 1


def test_without_the_lease_nothing_is_asked(filled: dict[str, Any]) -> None:
    action = Failing(TransientError("503"), times=0)
    with open_run(opened(filled)) as run:
        run.main.lease.release()
        with pytest.raises(LeaseLostError):
            retry_through_outage(run.main, action)
    assert action.calls == 0


def test_an_index_is_waited_for_until_it_shows_what_was_written(
    images: Path, tmp_path: Path, pinecone_environment: PineconeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "SETTLE_SECONDS", 0.2)
    settings = config(images, tmp_path / "state", index={"kind": "pinecone"}, upsert={"outage_patience": 0})
    with holding(settings) as held:
        pinecone_environment.hold()
        held.index.upsert(batch(["a"], [[1.0] * held.target.card.dimension]))
        with pytest.raises(TransientError, match=r"after 0\.2 s writes are visible up to LSN"):
            settle(held)
        pinecone_environment.release()
        settle(held)
        assert held.index.count() == 1
