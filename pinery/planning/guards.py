"""The guards: they refuse plans before anything is embedded, and stop runs."""

from collections.abc import Sequence

from pinery.planning.plan import PlanCounts

CHANGES_ALWAYS_ALLOWED = 1000
RELABELS_ALWAYS_ALLOWED = 20
QUARANTINES_ALWAYS_ALLOWED = 100


def judge_plan(
    counts: PlanCounts, *, delete_guard: float, change_guard: float, allow_deletes: bool, allow_changes: bool
) -> list[str]:
    """Return the reasons why the plan is refused, with counts and the flag that allows it; empty where it may go on.

    The guards are shares (0 to 1) of what the index holds.
    """
    reasons = [] if allow_deletes else judge_deletes(counts.leaving, counts.perhaps_held, delete_guard)
    if not allow_changes and counts.changed > max(change_guard * counts.held, CHANGES_ALWAYS_ALLOWED):
        reasons.append(
            f"{counts.changed} of the {counts.held} rows that the index holds have changed, over the"
            f" change_guard of {change_guard:.0%}; were all files rewritten? `allow_changes` lets it pass"
        )
    return reasons


def judge_deletes(leaving: int, held: int, delete_guard: float) -> list[str]:
    """Return why deleting `leaving` of the `held` rows of an index is refused; empty where it may go on."""
    if leaving <= delete_guard * held:
        return []
    return [
        f"{leaving} of the {held} rows that the index holds would be deleted, over the delete_guard of"
        f" {delete_guard:.0%}; is the source complete, are its files whole? `allow_deletes` lets it pass"
    ]


def relabels_allowed(held: int, relabel_guard: float) -> float:
    """Return how many of the `held` rows may lose metadata in one run."""
    return max(relabel_guard * held, RELABELS_ALWAYS_ALLOWED)


def judge_relabels(losing: int, names: Sequence[str], held: int, relabel_guard: float) -> list[str]:
    """Return why taking metadata off `losing` of the `held` rows of an index is refused; empty where it may go on.

    `names` are metadata keys that they would lose.
    """
    if losing <= relabels_allowed(held, relabel_guard):
        return []
    return [
        f"{losing} of the {held} rows that the index holds would lose metadata ({', '.join(names)}), over the"
        f" relabel_guard of {relabel_guard:.0%}; is the sidecar whole, does `source.metadata` still match?"
        " `allow_changes` lets it pass"
    ]


def too_many_quarantined(quarantined: int, attempted: int, guard: float) -> bool:
    """Return whether so many attempts ended in quarantine that something other than the images must be wrong."""
    return quarantined > QUARANTINES_ALWAYS_ALLOWED and quarantined > guard * attempted
