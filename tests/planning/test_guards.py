"""The guards at their edges."""

from typing import Any

import pytest

from pinery.planning.guards import judge_plan, too_many_quarantined
from pinery.planning.plan import PlanCounts

NOTHING = dict.fromkeys(PlanCounts.__slots__, 0)


def judge(*, held: int, leaving: int = 0, changed: int = 0, **flags: Any) -> list[str]:
    counts = PlanCounts(**NOTHING | {"held": held, "leaving": leaving, "changed": changed})
    usual = {"delete_guard": 0.2, "change_guard": 0.5, "allow_deletes": False, "allow_changes": False}
    return judge_plan(counts, **usual | flags)


@pytest.mark.parametrize(
    ("counts", "refused"),
    [
        ({"held": 0}, False),
        ({"held": 100, "leaving": 20}, False),
        ({"held": 100, "leaving": 21}, True),
        ({"held": 1, "leaving": 1}, True),
        ({"held": 100, "leaving": 100, "allow_deletes": True}, False),
        ({"held": 100, "leaving": 100, "allow_changes": True}, True),
        ({"held": 100, "leaving": 100, "delete_guard": 1.0}, False),
        ({"held": 100, "leaving": 1, "delete_guard": 0.0}, True),
        ({"held": 100, "leaving": 0, "delete_guard": 0.0}, False),
    ],
    ids=str,
)
def test_more_deletes_than_the_guard_need_their_flag(counts: dict[str, Any], refused: bool) -> None:
    reasons = judge(**counts)
    assert bool(reasons) is refused
    if refused:
        assert f"{counts['leaving']} of the {counts['held']} rows" in reasons[0]
        assert "`allow_deletes`" in reasons[0]


@pytest.mark.parametrize(
    ("counts", "refused"),
    [
        ({"held": 10_000, "changed": 5000}, False),
        ({"held": 10_000, "changed": 5001}, True),
        ({"held": 1000, "changed": 1000}, False),  # a thousand changes are always allowed
        ({"held": 1001, "changed": 1001}, True),
        ({"held": 10_000, "changed": 10_000, "allow_changes": True}, False),
        ({"held": 10_000, "changed": 10_000, "allow_deletes": True}, True),
        ({"held": 10_000, "changed": 1001, "change_guard": 0.0}, True),
        ({"held": 10_000, "changed": 1000, "change_guard": 0.0}, False),
    ],
    ids=str,
)
def test_more_changes_than_the_guard_need_their_flag(counts: dict[str, Any], refused: bool) -> None:
    reasons = judge(**counts)
    assert bool(reasons) is refused
    if refused:
        assert f"{counts['changed']} of the {counts['held']} rows" in reasons[0]
        assert "`allow_changes`" in reasons[0]


def test_every_reason_is_told_at_once() -> None:
    reasons = judge(held=10_000, leaving=3000, changed=6000)
    assert len(reasons) == 2
    assert "20%" in reasons[0]
    assert "50%" in reasons[1]


@pytest.mark.parametrize(
    ("quarantined", "attempted", "too_many"),
    [(100, 100, False), (101, 101, True), (101, 2020, False), (101, 2019, True), (0, 0, False), (5000, 100_000, False)],
)
def test_quarantine_is_too_much_above_both_the_share_and_a_hundred(
    quarantined: int, attempted: int, too_many: bool
) -> None:
    assert too_many_quarantined(quarantined, attempted, 0.05) is too_many
