"""The statistics of the gate, and the verdict that follows from them."""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinery.planning.gate import (
    LEAST_LABELLED,
    Findings,
    Limits,
    Pair,
    compare_labels,
    compare_precision,
    compared,
    jaccard,
    judge,
    judge_precision,
    most_changed,
    rbo,
    same_label,
)
from pinery.reports import Neighbour, Precision

LIMITS = Limits(recall=0.95, precision_drop=0.02, confidence=0.95)
SOUND = Findings(faults=(), notes=(), recall=1.0, precision=None, labelled=0)

ids = st.lists(st.sampled_from([f"i{number}" for number in range(14)]), unique=True, max_size=10)


def neighbours(*names: str) -> tuple[Neighbour, ...]:
    return tuple(Neighbour(name, 1 / rank) for name, rank in zip(names, count(1), strict=False))


@given(left=ids, right=ids, p=st.floats(0.05, 0.99))
def test_overlaps_are_symmetric_and_between_0_and_1(left: list[str], right: list[str], p: float) -> None:
    for measure in (jaccard, lambda one, other: rbo(one, other, p)):
        assert measure(left, right) == measure(right, left)
        assert -1e-12 <= measure(left, right) <= 1 + 1e-12
        assert measure(left, left) == pytest.approx(1, abs=1e-12)


@given(left=ids, right=ids)
def test_disjoint_lists_have_nothing_in_common(left: list[str], right: list[str]) -> None:
    others = [f"other {name}" for name in right]
    nothing = 0.0 if left or right else 1.0
    assert (jaccard(left, others), rbo(left, others)) == (nothing, nothing)


@given(names=ids.filter(lambda names: len(names) > 1), data=st.data())
def test_a_change_weighs_more_the_nearer_to_the_top_it_is(names: list[str], data: st.DataObject) -> None:
    lower = data.draw(st.integers(1, len(names) - 1))
    higher = data.draw(st.integers(0, lower - 1))
    changed = [[*names[:at], "another", *names[at + 1 :]] for at in (higher, lower)]
    assert rbo(names, changed[0]) < rbo(names, changed[1]) < 1
    assert jaccard(names, changed[0]) == jaccard(names, changed[1])


@pytest.mark.parametrize(
    ("left", "right", "p", "expected"),
    [
        # By hand, from equation 23 of Webber, Moffat and Zobel: overlaps 0, 2 at p = 0.5; 1, 1, 3 at p = 0.9.
        ("ab", "ba", 0.5, 0.25 + 0.25),
        ("abc", "acb", 0.9, (0.1 / 0.9) * (0.9 + 0.81 / 2 + 0.729) + 0.729),
        # Equation 32: the shorter list is taken to go on with the agreement of 1/2 that it ends with.
        ("ab", "acd", 0.5, 0.5 + 0.125 + 0.125 * (1 / 3 + 1 / 6) + 0.125 * 0.5),
    ],
)
def test_rank_biased_overlap_is_that_of_the_paper(left: str, right: str, p: float, expected: float) -> None:
    assert rbo(list(left), list(right), p) == pytest.approx(expected)


@given(left=ids, right=ids)
def test_rank_biased_overlap_is_the_sum_of_its_definition(left: list[str], right: list[str]) -> None:
    """The infinite sum itself, over lists that go on with the agreement that they end with."""
    if len(left) != len(right) or not left:
        return
    p, depth = 0.9, len(left)
    agreement = [len(set(left[:d]) & set(right[:d])) / d for d in range(1, depth + 1)]
    seen = (1 - p) * sum(share * p**rank for rank, share in enumerate(agreement))
    assert rbo(left, right) == pytest.approx(seen + agreement[-1] * p**depth)


def test_precision_counts_the_first_five_neighbours() -> None:
    assert same_label("a", ["a", "b", "a", None, "a", "a", "a"]) == 0.6
    assert same_label("a", ["a", "b"]) == 0.5
    assert same_label("a", []) == 0


def test_only_queries_with_a_label_count() -> None:
    pairs = [
        Pair("q", neighbours("a", "b"), neighbours("b", "c")),
        Pair("r", neighbours("a"), neighbours("b")),
    ]
    found, labelled = compare_labels(pairs, {"q": "x", "a": "x", "b": "x", "c": "y"}, 0.95)
    assert labelled == 1
    assert found is not None
    assert (found.old, found.new, found.difference) == (1, 0.5, -0.5)
    assert compare_labels(pairs, {"a": "x"}, 0.95) == (None, 0)


def test_the_interval_holds_the_difference_and_is_the_same_each_time() -> None:
    chooser = np.random.default_rng(1)
    old, new = chooser.integers(0, 6, (2, 200)) / 5
    found = compare_precision(old, new, 0.95)
    assert found.low < found.difference < found.high
    assert compare_precision(old, new, 0.95) == found
    wider = compare_precision(old, new, 0.99)
    assert (wider.low < found.low, wider.high > found.high) == (True, True)


def test_the_interval_is_about_that_of_the_normal_distribution() -> None:
    differences = np.random.default_rng(2).normal(-0.1, 0.3, 2000)
    found = compare_precision(np.zeros(2000), differences, 0.95)
    half = 1.96 * differences.std() / 2000**0.5
    assert found.low == pytest.approx(differences.mean() - half, abs=half / 8)
    assert found.high == pytest.approx(differences.mean() + half, abs=half / 8)


def test_the_queries_are_paired() -> None:
    """What differs by the same everywhere differs by that with certainty, however much queries differ."""
    old = np.random.default_rng(3).integers(0, 2, 100) * 0.6
    found = compare_precision(old, old + 0.2, 0.95)
    assert (found.low, found.high) == (pytest.approx(0.2), pytest.approx(0.2))


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.5, -0.3, "fail"),
        (-0.5, -0.021, "fail"),
        (-0.5, -0.02, "undecided"),
        (-0.021, 0.5, "undecided"),
        (-0.02, 0.5, "pass"),
        (-0.02, -0.01, "pass"),
        (0.1, 0.2, "pass"),
    ],
)
def test_the_whole_interval_decides(low: float, high: float, verdict: str) -> None:
    assert judge_precision(Precision(0.5, 0.5, (low + high) / 2, low, high), 0.02) == verdict


def test_a_sound_candidate_passes_and_its_figures_say_why() -> None:
    verdict, reasons = judge(SOUND, LIMITS)
    assert verdict == "pass"
    assert reasons == (
        "the index holds the live rows that it didn't reject, and a sample has their vectors.",
        "recall@10 is 1, at least gate.recall 0.95.",
    )


def test_a_precision_that_stays_is_said_so() -> None:
    same = Precision(old=0.5, new=0.5, difference=0, low=-0.01, high=0.012)
    _, reasons = judge(replace(SOUND, precision=same, labelled=400), LIMITS)
    assert reasons[-1] == (
        "same-label precision@5 stays at 0.5 (95 % interval -0.01 to 0.012, 400 queries),"
        " so it doesn't fall by more than gate.precision_drop 0.02."
    )


def test_what_fails_is_said_and_nothing_else() -> None:
    worse = Precision(old=0.71, new=0.32, difference=-0.39, low=-0.42, high=-0.35)
    findings = Findings(("the index holds 1 rows, and 2 are live and not rejected",), ("a note",), 0.91, worse, 200)
    assert judge(findings, LIMITS) == (
        "fail",
        (
            "the index holds 1 rows, and 2 are live and not rejected.",
            "recall@10 is 0.91, below gate.recall 0.95.",
            "same-label precision@5 falls from 0.71 to 0.32 (95 % interval -0.42 to -0.35, 200 queries),"
            " more than gate.precision_drop 0.02.",
            "a note.",
        ),
    )


def test_what_is_not_certain_is_undecided_unless_something_else_fails() -> None:
    unclear = Precision(old=0.5, new=0.49, difference=-0.01, low=-0.05, high=0.03)
    verdict, reasons = judge(replace(SOUND, precision=unclear, labelled=50), LIMITS)
    assert (verdict, len(reasons)) == ("undecided", 1)
    assert "(95 % interval -0.05 to 0.03, 50 queries), which doesn't say whether it falls by more than" in reasons[0]
    verdict, reasons = judge(replace(SOUND, precision=unclear, labelled=50, recall=0.9), LIMITS)
    assert (verdict, reasons) == ("fail", ("recall@10 is 0.9, below gate.recall 0.95.",))


def test_a_few_labels_decide_nothing() -> None:
    worse = Precision(old=1, new=0, difference=-1, low=-1, high=-1)
    verdict, reasons = judge(replace(SOUND, precision=worse, labelled=LEAST_LABELLED - 1), LIMITS)
    assert verdict == "pass"
    assert reasons[-1] == "only 9 queries have a label, too few to judge same-label precision."
    assert judge(replace(SOUND, precision=worse, labelled=LEAST_LABELLED), LIMITS)[0] == "fail"


def test_recall_is_judged_where_it_was_measured() -> None:
    assert judge(replace(SOUND, recall=0.95), LIMITS)[0] == "pass"
    assert judge(replace(SOUND, recall=0.94999), LIMITS) == ("fail", ("recall@10 is 0.9499, below gate.recall 0.95.",))
    verdict, reasons = judge(replace(SOUND, recall=None, notes=("there is only one vector",)), LIMITS)
    assert (verdict, reasons[1:]) == ("pass", ("there is only one vector.",))


def test_the_queries_that_changed_most_come_first() -> None:
    lists = {
        "same": ("abc", "abc"),
        "order": ("abc", "acb"),
        "top": ("abc", "xbc"),
        "end": ("abc", "abx"),
        "all": ("abc", "xyz"),
        "all too": ("abc", "xyz"),
    }
    pairs = [Pair(name, neighbours(*old), neighbours(*new)) for name, (old, new) in lists.items()]
    found = most_changed([compared(one) for one in pairs])
    assert [one.id for one in found] == ["all", "all too", "top", "end", "order"]
    assert (found[2].jaccard, found[2].old, found[2].new) == (0.5, neighbours(*"abc"), neighbours(*"xbc"))
    many = [compared(Pair(f"{number:02}", neighbours("a"), neighbours("b"))) for number in range(30)]
    assert [one.id for one in most_changed(many[::-1])] == [f"{number:02}" for number in range(10)]
