"""The report of a run describes one that ended early."""

import pytest

from pinery.errors import LeaseLostError, RefusedError, StoppedError
from pinery.steps.report import end_of


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
