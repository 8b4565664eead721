"""How often a drill repeats itself: a seeded handful of rounds in `make slow`, every one of them in `make drills`."""

import os
from collections.abc import Sequence
from random import Random
from typing import TypeVar

import pytest

Round = TypeVar("Round")

EVERY = os.environ.get("PINERY_DRILLS") == "all"
"""Whether each drill is run in full, as `make drills` has it."""
SEED = 20261127

at_length = pytest.mark.skipif(not EVERY, reason="another case is the same, but shorter; `make drills` runs both")
"""For cases that differ from another one of the same test in size or duration alone."""


def times(every: int, few: int) -> int:
    """Return how often a drill does the same again: `every` time in `make drills`, elsewhere `few` times."""
    return every if EVERY else few


def rounds(every: Sequence[Round], few: int) -> list[Round]:
    """Return all rounds in `make drills`, and elsewhere `few` of them, always the same, in their order."""
    if EVERY:
        return list(every)
    return [every[at] for at in sorted(Random(SEED).sample(range(len(every)), few))]
