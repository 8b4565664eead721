"""The report names the stage that a run waited for, and describes a run that ended early."""

import pytest

from pinery.errors import LeaseLostError, RefusedError, StoppedError
from pinery.steps.report import bottleneck, end_of, shares


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


class TerminationSignal(BaseException):
    """A crash as Prefect raises it."""


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (KeyboardInterrupt(), "stopped", "stopped by SIGINT (Ctrl-C)"),
        (TerminationSignal(), "stopped", "stopped by SIGTERM"),
        (SystemExit(1), "stopped", "stopped"),
        (StoppedError("the run was asked to stop"), "stopped", "the run was asked to stop"),
        (RefusedError("too many deletes"), "refused", "too many deletes"),
        (LeaseLostError("it is gone"), "failed", "it is gone"),
        (MemoryError(), "failed", "MemoryError"),
    ],
    ids=repr,
)
def test_the_report_tells_a_stop_from_a_failure(error: BaseException, state: str, reason: str) -> None:
    assert end_of(error) == (state, reason)
