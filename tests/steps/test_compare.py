"""A comparison decides whether a row is the one that was sent."""

from typing import Any

import numpy as np
import pytest

from pinery.records import Stored
from pinery.steps.compare import difference_of

VALUES = np.float32([0.1, -2.0, 0.0, 3e30]).tolist()
METADATA = {"label": "seal", "n": 3, "yes": True, "tags": ["a", "ä"]}


def stored(values: list[float] = VALUES, **changes: Any) -> Stored:
    return Stored(tuple(values), METADATA | changes)


def verdict_on(found: Stored | None, values: list[float], metadata: dict[str, Any]) -> str | None:
    return difference_of(found, np.asarray(values, np.float32), metadata)


def test_a_row_is_right_as_it_was_sent() -> None:
    assert verdict_on(stored(), VALUES, METADATA) is None
    assert verdict_on(Stored((1.0,), {}), [1.0], {}) is None


def test_a_missing_row_is_told() -> None:
    assert verdict_on(None, VALUES, METADATA) == "missing"


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        (np.multiply(VALUES, 1 + 9e-7).tolist(), None),
        (np.multiply(VALUES, 1 + 2e-6).tolist(), "wrong"),
        ([0.1, -2.0, 1e-30, 3e30], "wrong"),
        ([0.1, 2.0, 0.0, 3e30], "wrong"),
        ([-2.0, 0.1, 0.0, 3e30], "wrong"),
        ([0.1, float("nan"), 0.0, 3e30], "wrong"),
        (VALUES[:3], "wrong"),
        ([*VALUES, 0.0], "wrong"),
        ([], "wrong"),
    ],
    ids=str,
)
def test_values_may_differ_by_a_millionth_and_no_more(changed: list[float], verdict: str | None) -> None:
    assert verdict_on(stored(changed), VALUES, METADATA) == verdict


def test_a_vector_of_one_value_is_not_stretched_to_fit() -> None:
    assert verdict_on(Stored((1.0,), {}), [1.0, 1.0], {}) == "wrong"


@pytest.mark.parametrize(
    ("sent", "found", "same"),
    [
        (3, 3.0, True),  # Pinecone returns every number as a float
        (2**53 + 1, float(2**53), True),
        (0.1, 0.1, True),
        (3, 3.0000001, False),
        (3, "3", False),
        ("3", 3, False),
        (True, True, True),
        (True, 1, False),
        (1, True, False),
        (True, False, False),
        ("ä", "ä", True),
        ("ä", "a\u0308", False),
        (["a", "b"], ["a", "b"], True),
        (["a", "b"], ["b", "a"], False),
        (["a"], "a", False),
    ],
    ids=str,
)
def test_metadata_values_are_the_same_by_type_and_numbers_as_float64(sent: Any, found: Any, same: bool) -> None:
    verdict = verdict_on(stored(one=found), VALUES, METADATA | {"one": sent})
    assert verdict == (None if same else "wrong_metadata")


def test_a_lacking_or_additional_key_is_other_metadata() -> None:
    assert verdict_on(stored(more=1), VALUES, METADATA) == "wrong_metadata"
    assert verdict_on(stored(), VALUES, METADATA | {"more": 1}) == "wrong_metadata"
    assert verdict_on(stored(), VALUES, {}) == "wrong_metadata"
