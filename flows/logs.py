"""What Prefect's log says of a failure: what is wrong, once, in one line; and no address in it shows a secret.

Prefect prints the stack trace of an error for the task, for the flow and for the process that it passes. The text of
our errors is meant for the user, and `flows.outcome` says it; so these stack traces are left out.
"""

import logging
import os

from pinery.addresses import ShowsNoSecrets

RUNS = ("prefect.flow_runs", "prefect.task_runs", "prefect.engine", "prefect.flow_engine")
TOLD = "pinery_has_told"
"""The attribute of an error of which the log has said what there is to say."""


class OneLine(logging.Filter):
    """Leaves out the stack traces of errors that were told, and how a failed task ended, which its own page says."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be kept."""
        error = record.exc_info[1] if record.exc_info else None
        if os.environ.get("PINERY_DEBUG"):
            return True
        if record.name == "prefect.task_runs" and record.levelno == logging.ERROR:
            return not record.getMessage().startswith(("Finished in state", "Task run failed with"))
        return error is None or not hasattr(error, TOLD)


def keep_to_one_line() -> None:
    """From now on, Prefect's loggers of runs and httpx' keep to this module's rules; calling it twice is harmless."""
    for name in RUNS:
        _add(name, OneLine)
    for name in (*RUNS, "httpx"):
        _add(name, ShowsNoSecrets)


def _add(name: str, kind: type[logging.Filter]) -> None:
    logger = logging.getLogger(name)
    if not any(isinstance(one, kind) for one in logger.filters):
        logger.addFilter(kind())
