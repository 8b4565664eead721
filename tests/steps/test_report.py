"""Which stage a run waited for, from the seconds that each took."""

from __future__ import annotations

import pytest

from pinery.steps.report import bottleneck

THREADS = 10


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({}, "none"),
        ({"list": 3.0, "plan": 1.0}, "list"),
        ({"list": 1.0, "embed": 0.0, "upsert": 2.0}, "upsert"),
        ({"list": 1.0, "embed": 5.0, "infer": 3.0, "fetch": 40.0, "decode": 9.0, "upsert": 9.0}, "upsert"),
        ({"embed": 10.0, "infer": 8.0, "fetch": 90.0, "decode": 90.0}, "infer"),
        ({"embed": 10.0, "infer": 5.0, "fetch": 90.0, "decode": 90.0}, "infer"),
        ({"embed": 10.0, "infer": 1.0, "fetch": 90.0, "decode": 20.0}, "fetch"),
        ({"embed": 10.0, "infer": 1.0, "fetch": 20.0, "decode": 90.0}, "decode"),
        ({"embed": 10.0, "infer": 4.9, "fetch": 3.0, "decode": 2.0, "verify": 1.0}, "fetch"),
    ],
    ids=str,
)
def test_bottleneck(seconds: dict[str, float], expected: str) -> None:
    assert bottleneck(seconds, THREADS) == expected


def test_seconds_summed_over_threads_do_not_outweigh_stages() -> None:
    assert bottleneck({"embed": 2.0, "infer": 1.5, "fetch": 30.0, "decode": 30.0, "upsert": 1.0}, THREADS) == "infer"
