"""The report names what a run waited for, and what would move it."""

import pytest

from pinery.steps.bottleneck import ADVICE, bottleneck, bottleneck_line, shares


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({}, "none"),
        ({"list": 3.0, "plan": 1.0}, "list"),
        ({"list": 1.0, "embed": 0.0, "upsert": 2.0}, "upsert"),
        ({"list": 1.0, "embed": 5.0, "infer": 3.0, "fetch": 4.0, "decode": 0.9, "upsert": 9.0}, "upsert"),
        ({"embed": 10.0, "infer": 8.0, "fetch": 4.0, "decode": 1.5}, "infer"),
        ({"embed": 10.0, "infer": 1.0, "fetch": 9.0, "decode": 2.0}, "fetch"),
        ({"embed": 10.0, "infer": 3.0, "fetch": 5.0, "decode": 6.0}, "decode"),
        ({"embed": 10.0, "infer": 0.2, "fetch": 0.3, "decode": 0.1, "verify": 1.0}, "fetch"),
        ({"embed": 10.0, "verify": 1.0}, "infer"),
    ],
    ids=str,
)
def test_bottleneck(seconds: dict[str, float], expected: str) -> None:
    assert bottleneck(seconds) == expected


def test_the_share_of_each_stage() -> None:
    seconds = {"list": 1.0, "embed": 10.0, "infer": 8.0, "fetch": 0.5, "decode": 0.0}
    assert shares(seconds, 20.0) == {"list": 0.05, "embed": 0.5, "infer": 0.8, "fetch": 0.05, "decode": 0.0}
    assert shares({"list": 1.0}, 0.0) == {}


def test_the_bottleneck_is_told_in_one_sentence_with_its_share() -> None:
    seconds = {"list": 1.0, "embed": 10.0, "infer": 8.0, "fetch": 0.5, "decode": 0.0}
    line = bottleneck_line(seconds, 20.0)
    assert line.startswith("infer took 80% of embedding; ")
    assert "model.precision" in line
    assert bottleneck_line({"upsert": 15.0}, 20.0).startswith("upsert took 75% of the run; ")
    assert bottleneck_line({"compact": 15.0}, 20.0) == "compact took 75% of the run."


@pytest.mark.parametrize(("seconds", "wall"), [({}, 9.0), ({"list": 0.4}, 0.5)], ids=["nothing", "short"])
def test_of_a_run_that_waited_for_nothing_nothing_is_told(seconds: dict[str, float], wall: float) -> None:
    assert bottleneck_line(seconds, wall) == ""


@pytest.mark.parametrize("stage", sorted(ADVICE))
def test_each_advice_ends_a_sentence(stage: str) -> None:
    seconds = {"embed": 5.0, stage: 5.0} if stage in ("fetch", "decode", "infer") else {stage: 5.0}
    line = bottleneck_line(seconds, 5.0)
    assert line.startswith(f"{stage} took 100% of ")
    assert line.endswith(f"; {ADVICE[stage]}.")
