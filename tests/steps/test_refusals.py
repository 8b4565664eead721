"""An index's refusal is believed only while it takes a row that it holds as it should."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from pinery.corpus.run import HeldTarget
from pinery.errors import TerminalError, TransientError
from pinery.records import REJECTED_SCHEMA
from pinery.steps.make_plan import PlanOptions, make_plan
from pinery.steps.refusals import Refusals
from tests.filled import current_listing, holding
from tests.indexes.rows import batch
from tests.pinecone_server.server import PineconeServer

NO_WRITES = {"code": 9, "message": "Index is not in a state to take writes"}
REFUSED = pa.Table.from_pylist(
    [{"id": "a", "version": "v", "metadata_hash": "h", "reason": "bad row"}], schema=REJECTED_SCHEMA
)


@pytest.fixture
def held(filled: dict[str, Any], pinecone_environment: PineconeServer) -> Iterator[HeldTarget]:
    """A target in a Pinecone index that holds nothing yet."""
    with holding(filled | {"index": {"kind": "pinecone", "name": "things"}}) as target:
        yield target


def row(held: HeldTarget) -> pa.RecordBatch:
    return batch(["taken"], [[1.0] * held.target.card.dimension])


def test_an_index_that_holds_nothing_to_try_is_not_believed(held: HeldTarget) -> None:
    refusals = Refusals(held, None)
    assert not refusals.can_be_believed("bad row")
    refusals.judge()  # nothing was refused
    refusals.add(REFUSED, believed=False)
    with pytest.raises(TerminalError, match=r"index things refused all 1 rows of this run, the first with: bad row"):
        refusals.judge()
    assert held.ledger.rejected_files() == []


def test_what_was_refused_is_recorded_once_the_index_takes_a_row_that_it_took_before(held: HeldTarget) -> None:
    refusals = Refusals(held, None)
    refusals.add(REFUSED, believed=False)
    refusals.note_accepted(row(held))
    refusals.judge()
    assert len(held.ledger.rejected_files()) == 1
    assert held.index.count() in (0, 1)
    refusals.judge()
    assert len(held.ledger.rejected_files()) == 1, "nothing is recorded twice"


def test_an_index_that_refuses_that_row_too_is_what_is_wrong(
    held: HeldTarget, pinecone_environment: PineconeServer
) -> None:
    refusals = Refusals(held, None)
    refusals.note_accepted(row(held))
    refusals.add(REFUSED, believed=False)
    pinecone_environment.faults.push("upsert", 400, times=None, body=NO_WRITES)
    with pytest.raises(TransientError, match=r"refuses rows \(bad row\), and a row that it holds as well \(.*not in a"):
        refusals.judge()
    assert held.ledger.rejected_files() == []


def test_believed_rows_take_those_along_that_were_kept_before(held: HeldTarget) -> None:
    refusals = Refusals(held, None)
    refusals.add(REFUSED, believed=False)
    refusals.add(REJECTED_SCHEMA.empty_table(), believed=False)
    assert held.ledger.rejected_files() == []
    refusals.add(REFUSED, believed=True)
    assert len(held.ledger.rejected_files()) == 1


def test_a_row_of_the_plan_is_tried_where_this_run_sent_none(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        plan = make_plan(held, current_listing(held), PlanOptions())
        assert plan.sound is not None
        assert Refusals(held, plan.sound).can_be_believed("bad row")
        assert held.index.count() == 12
