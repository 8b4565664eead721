"""A target whose lease a run holds: it alone may write, for as long as it holds the lease and isn't to stop."""

from typing import Any

import pytest

from pinery.checkpoint.lease import read_holder
from pinery.corpus.open_run import open_run
from pinery.errors import LeaseLostError, StoppedError, TerminalError
from pinery.records import Identity
from tests.filled import holding, opened


def test_there_is_no_ledger_before_the_index_was_looked_up(filled: dict[str, Any]) -> None:
    with open_run(opened(filled)) as run:
        with pytest.raises(TerminalError, match="was not looked up yet in this run"):
            _ = run.main.ledger
        run.main.identify(run.main.index.describe())
        assert len(run.main.ledger.files()) > 0
        assert run.main.identity == run.main.index.describe()


@pytest.mark.parametrize("found", [None, Identity("another state", "another incarnation", "key")], ids=str)
def test_an_index_that_is_gone_or_is_another_has_no_ledger(filled: dict[str, Any], found: Identity | None) -> None:
    with open_run(opened(filled)) as run:
        run.main.identify(found)
        assert run.main.ledger.files() == []


def test_whoever_is_to_stop_or_lost_the_lease_writes_nothing_more(filled: dict[str, Any]) -> None:
    written = []
    with open_run(opened(filled)) as run:
        with run.main.writing():
            written.append("while both hold")
        run.stop()
        with pytest.raises(StoppedError), run.main.writing():
            written.append("although it was to stop")
    with open_run(opened(filled)) as run:
        run.main.lease.release()
        with pytest.raises(LeaseLostError), run.main.writing():
            written.append("without the lease")
    assert written == ["while both hold"]


def test_the_lease_is_held_until_what_is_being_written_is_over(filled: dict[str, Any]) -> None:
    with open_run(opened(filled)) as run:
        corpus, lease = run.corpus, run.corpus.paths.lease(run.main.target.card.key)
        with run.main.writing():
            run.main.lease.release()
            assert read_holder(corpus.store, lease) is not None
        assert read_holder(corpus.store, lease) is None


def test_a_plan_is_made_of_the_listing_the_checkpoint_and_the_ledger_as_they_are(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        listing = held.target.store.local(str(held.run.corpus.current_listing()))
        with held.planned(listing) as con:
            assert con.execute("SELECT id FROM to_embed UNION ALL SELECT id FROM to_upsert").fetchall() == []
        held.target.store.delete(f"{held.target.paths.parts(held.target.card.key)}/part-00000000.parquet")
        with held.planned(listing, limit=2) as con:
            assert con.execute("SELECT count(*) FROM to_embed").fetchall() == [(2,)]
