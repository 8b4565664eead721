"""Rows that a lost holder of a lease may still write are written again, by this run and by the next."""

import json
from pathlib import Path
from typing import Any

from pinery.corpus.run import HeldTarget
from pinery.planning.plan import count_plan
from pinery.steps.doubts import doubt_all, doubt_last_window
from tests.filled import current_listing, holding


def to_upsert(held: HeldTarget) -> int:
    with held.planned(current_listing(held)) as con:
        return count_plan(con).to_upsert


def lose_the_lease(settings: dict[str, Any]) -> None:
    """The last holder let go with a request unanswered, on a host of which nothing is known."""
    [path] = Path(settings["state"]).glob("test/*/lease.json")
    lost = {"host": "elsewhere", "released": True, "quiet_in": 0.02}
    path.write_text(json.dumps(json.loads(path.read_text()) | lost))


def test_to_doubt_all_is_to_write_every_row_again(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        assert to_upsert(held) == 0
        doubt_all(held)
        assert to_upsert(held) == 12


def test_after_a_holder_that_let_go_nothing_is_doubted(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        before = held.ledger.files()
        doubt_last_window(held)
        assert (held.lease.after, held.ledger.files(), to_upsert(held)) == (None, before, 0)


def test_what_a_lost_holder_wrote_last_is_doubted_by_this_run_and_the_next(filled: dict[str, Any]) -> None:
    with holding(filled) as held:
        held.ledger.enter(known(held, "red-0.jpg"), held.scratch)
    lose_the_lease(filled)
    with holding(filled) as held:  # looks the index up, and so doubts
        assert held.lease.after is not None
        assert to_upsert(held) == 1
        held.ledger.enter(known(held, "red-0.jpg"), held.scratch)
        assert to_upsert(held) == 0
    with holding(filled) as held:
        assert held.lease.after is None
        assert to_upsert(held) == 1, "the index may have carried that request out later still"
        held.ledger.enter(known(held, "red-0.jpg"), held.scratch)
    with holding(filled) as held:
        assert to_upsert(held) == 0


def known(held: HeldTarget, id: str) -> Any:
    """The row of an item as the ledger has it once it is acknowledged (LEDGER_SCHEMA)."""
    with held.planned(current_listing(held)) as con:
        return con.sql(
            f"SELECT id, version, metadata_hash, false AS deleted FROM items WHERE id = '{id}'"
        ).to_arrow_table()
