"""Keeps Prefect's log of a failure to one line that is shown once, and takes the secrets out of its addresses.

Prefect prints the stack trace of an error for the task, for the flow and for the process that it passes. The text of
our errors is meant for the user, and `flows.outcome` says it; so these stack traces are left out. A task is a part, and
a large run has thousands: its log tells of the stages instead.
"""

import logging
import os

from pinery.addresses import ShowsNoSecrets

RUNS = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine", "prefect.flow_engine")
LOGGED = "pinery_has_logged"
"""The attribute of an error that the log has shown already."""


class OneLine(logging.Filter):
    """Leaves out the stack traces of errors that were logged, and the ends that the run's or task's page shows."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is to be kept."""
        error = record.exc_info[1] if record.exc_info else None
        if os.environ.get("PINERY_DEBUG"):
            return True
        if record.name == "prefect.task_runs" and record.levelno in (logging.INFO, logging.ERROR):
            return not record.getMessage().startswith(("Finished in state", "Task run failed with"))
        if record.name == "prefect.flow_runs" and record.getMessage().startswith("Finished in state"):
            return "state Completed(" in record.getMessage()
        return error is None or not hasattr(error, LOGGED)


def keep_to_one_line() -> None:
    """Apply this module's rules to Prefect's loggers of runs and to httpx'; calling it twice is harmless."""
    for name in RUNS:
        _add(name, OneLine)
    for name in (*RUNS, "httpx"):
        _add(name, ShowsNoSecrets)


def _add(name: str, kind: type[logging.Filter]) -> None:
    logger = logging.getLogger(name)
    if not any(isinstance(one, kind) for one in logger.filters):
        logger.addFilter(kind())
