"""Ends a flow run, whoever started it: with a line in Prefect's log, a page and a table of stages, and a named state.

None of that is needed: the run's report is in the state, and the lease is let go of before anything is shown here.
"""

import os
import shlex
import traceback
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from prefect import State
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.states import Failed

from flows import run_summary
from flows.api_watch import heartbeat_seconds, look_at_api
from flows.heartbeats import send_heartbeats
from flows.leaving import release
from flows.logs import LOGGED
from flows.run_page import page, stages
from pinery.addresses import without_secrets
from pinery.errors import DifferentError, PineryError
from pinery.steps.report import Reporter
from tasks.publish_artifact import artifact_key, publish_artifact

_last: ContextVar["Outcome | None"] = ContextVar("outcome", default=None)
_named: ContextVar[str] = ContextVar("named", default="CONFIG")


class Outcome:
    """A context around the work of one flow run; `end` is what the flow returns after it."""

    def __init__(self, command: str, config: str | dict[str, Any]) -> None:
        self.report: dict[str, Any] = {}
        """The report of the run so far, which the flow returns if all goes well."""
        self._command = command
        path = isinstance(config, str) and "\n" not in config and "{" not in config
        self._config = shlex.quote(str(config)) if path else _named.get()
        self._error: Exception | None = None
        self._reporter: Reporter | None = None

    def __enter__(self) -> "Outcome":
        self._stop_heartbeats = send_heartbeats(heartbeat_seconds())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        self._stop_heartbeats()
        if error is not None and not isinstance(error, Exception):
            return False  # a signal, which Prefect and the command line report
        self._error = error
        if self._reporter is not None:
            self.report = self._reporter.report.to_dict()
        if isinstance(error, DifferentError):
            self.report = error.result
        _last.set(self)
        look_at_api()
        if FlowRunContext.get() is not None:
            self._publish()
        if isinstance(error, PineryError) and not os.environ.get("PINERY_DEBUG"):
            release(error)  # or DuckDB's binding lists at the process' end what was still alive
        return True

    def follow(self, reporter: Reporter) -> None:
        """Take the report from the run's reporter in the end."""
        self._reporter = reporter

    def value(self) -> dict[str, Any]:
        """Return the flow's result. Raises what its work raised."""
        if self._error is not None:
            raise self._error
        return self.report

    def end(self) -> dict[str, Any] | State:
        """Return the flow's result, or the state that it fails in; whoever called the flow gets its error raised."""
        if self._error is None or FlowRunContext.get() is None:
            return self.value()
        name, message = run_summary.state_of(self._error), run_summary.line_of(self._error)
        return Failed(name=name, message=message, data=self._error)

    def _publish(self) -> None:
        self._log()
        corpus, kind = str(self.report.get("corpus", "")), "verify" if self._command == "verify" else "run"
        title = f"pinery {self._command}, corpus {corpus or self._config}: {run_summary.state_of(self._error)}"
        text = page(self.report, self._error, self._command, self._config)
        publish_artifact(artifact_key(corpus, kind), "markdown", text, title)
        if rows := stages(self.report):
            publish_artifact(artifact_key(corpus, "stages"), "table", rows, f"{title}: seconds by stage")

    def _log(self) -> None:
        log, error = get_run_logger(), self._error
        if error is None:
            log.info("%s", run_summary.summary(self.report))
            if warning := run_summary.warning(self.report, f"pinery status {self._config}"):
                log.warning("%s", warning)
            return
        log.error("%s: %s", run_summary.state_of(error), run_summary.line_of(error))
        if not isinstance(error, PineryError):
            log.error("%s", without_secrets("".join(traceback.format_exception(error))))
        setattr(error, LOGGED, True)


def name_config(config: str) -> None:
    """Remember the config file of the flow that is about to be called with its settings."""
    _named.set(shlex.quote(config))


def forget() -> None:
    """Forget the last outcome, before another flow is called."""
    _last.set(None)


def last_outcome() -> Outcome | None:
    """Return the outcome of the flow run that was called last; None if its work didn't end."""
    return _last.get()
