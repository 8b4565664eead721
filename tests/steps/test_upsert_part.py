"""Rows of a part reach the index, and what it acknowledged is in the ledger, whatever the end."""

from pathlib import Path
from typing import Any

import pytest

from pinery.corpus.run import HeldTarget
from pinery.errors import StoppedError
from pinery.planning.plan import count_plan
from pinery.steps.make_plan import Plan, PlanOptions, make_plan
from pinery.steps.refusals import Refusals
from pinery.steps.upsert_part import upsert_part
from tests.filled import current_listing, holding, rows_of
from tests.pinecone_server.server import PineconeServer


def planned(held: HeldTarget) -> tuple[Plan, Refusals]:
    plan = make_plan(held, current_listing(held), PlanOptions())
    return plan, Refusals(held, plan.sound)


def left(held: HeldTarget) -> int:
    with held.planned(current_listing(held)) as con:
        return count_plan(con).to_upsert


def test_a_part_is_sent_as_it_is_and_entered(filled: dict[str, Any]) -> None:
    fresh = filled | {"namespace": "fresh"}
    with holding(fresh) as held:
        plan, refusals = planned(held)
        reports = [upsert_part(held, work, refusals) for work in plan.upsert]
        assert [(report.upserted, report.rejected) for report in reports] == [(5, 0), (5, 0), (2, 0)]
        assert (left(held), held.mark != "") == (0, True)
    assert rows_of(fresh) == rows_of(filled)


def test_a_run_that_is_to_stop_sends_nothing_more_and_knows_what_it_sent(filled: dict[str, Any]) -> None:
    with holding(filled | {"namespace": "fresh"}) as held:
        plan, refusals = planned(held)
        upsert_part(held, plan.upsert[0], refusals)
        held.run.stop()
        with pytest.raises(StoppedError):
            upsert_part(held, plan.upsert[1], refusals)
        assert held.index.count() == 5
        assert left(held) == 7


@pytest.fixture
def cloud(filled: dict[str, Any], pinecone_environment: PineconeServer) -> dict[str, Any]:
    return filled | {"index": {"kind": "pinecone", "name": "things"}}


def test_rows_that_the_index_refuses_beside_one_that_it_takes_are_rejected(
    cloud: dict[str, Any], pinecone_environment: PineconeServer, tmp_path: Path
) -> None:
    with holding(cloud) as held:
        plan, refusals = planned(held)
        upsert_part(held, plan.upsert[0], refusals)
        # The request of five rows is refused, and so is one of its halves down to a single row.
        for status in (400, 400, 400):
            pinecone_environment.faults.push("upsert", status, body={"code": 3, "message": "bad row"})
        report = upsert_part(held, plan.upsert[1], refusals)
        refusals.judge()
        assert report.upserted + report.rejected == 5
        assert len(held.ledger.rejected_files()) == (1 if report.rejected else 0)
        assert left(held) == 2, "what was rejected isn't sent again"
