"""The texts on a run's end in Prefect's pages and log: its state's name, its line, its rows, and what to do next."""

from collections.abc import Mapping
from typing import Any

from flows.parameters import flag, named_in
from pinery.addresses import without_secrets
from pinery.errors import ConfigError, DifferentError, LeaseHeldError, PineryError, RefusedError

STATES = ((RefusedError, "Refused"), (ConfigError, "ConfigError"), (DifferentError, "Different"))
"""The name of the state of a failed flow run, by the type of its error."""
LEFT_OUT = ("quarantined", "rejected", "moved")
DONE = ("listed", "new", "changed", "relabelled", "embedded", "reused", "imported", "upserted", "deleted")

Row = dict[str, Any]


def state_of(error: Exception | None) -> str:
    """Return the name of the state that a flow run with this end gets."""
    return "done" if error is None else next((name for kind, name in STATES if isinstance(error, kind)), "Failed")


def line_of(error: Exception) -> str:
    """Return the error in one line, for Prefect: a flow has parameters where a command has flags."""
    if not isinstance(error, PineryError):
        return without_secrets(f"{type(error).__name__}: {error}. This should not happen")
    return " ".join(str(error).split())


def summary(report: Mapping[str, Any]) -> str:
    """Return the summary of a run that is done, in one line."""
    if "checked" in report:
        return f"index {report.get('index')} holds what it should: {report['checked']:,} rows compared by value"
    counts = ", ".join(f"{report[name]:,} {name}" for name in DONE if report.get(name))
    done = f"corpus {report.get('corpus')}: {counts or 'nothing to do'}"
    return f"{done}; index {report.get('index')} is verified{_judged(report)}"


def _judged(report: Mapping[str, Any]) -> str:
    """Return the gate's verdict on the candidate of a backfill, and whether it is live now; empty for other runs."""
    gate = report.get("gate")
    return f"; gate: {gate['verdict']}{', and it is live now' if report.get('promoted') else ''}" if gate else ""


def warning(report: Mapping[str, Any], status: str) -> str:
    """Return the items of the corpus that are not in the index, and why; empty if all are. `status` is a command."""
    counts = ", ".join(f"{report[name]:,} {name}" for name in LEFT_OUT if report.get(name))
    reasons = "; ".join(f"{kind} {times:,} times: {reason}" for kind, reason, times in _reasons(report))
    shown = f" ({reasons})" if reasons else ""
    return f"not in the index as listed: {counts}{shown}; `{status}` lists them" if counts else ""


def table(report: Mapping[str, Any], error: Exception | None, command: str, config: str) -> list[Row]:
    """Return the rows, `what` and `value`, of what became of a run of `command` with the config `config`."""
    known = {"state": state_of(error)} | {name: value for name, value in report.items() if name != "state"}
    if error is not None:
        known |= {"error": line_of(error)}
    plain = [{"what": name, "value": value} for name, value in known.items() if isinstance(value, str | int | float)]
    reasons = [{"what": f"{kind}: {reason}", "value": times} for kind, reason, times in _reasons(report)]
    return [*plain, *reasons, {"what": "next", "value": next_step(report, error, command, config)}]


def next_step(report: Mapping[str, Any], error: Exception | None, command: str, config: str) -> str:
    """Return the command to run after a run with this end."""
    again = f"pinery {command} {config}"
    if error is None:
        if report.get("gate") and not report.get("promoted"):
            return f"`pinery promote {config} --index {report.get('index')}` makes the candidate live"
        left = any(report.get(name) for name in LEFT_OUT)
        return f"`pinery status {config}` lists what is left out, with reasons" if left else "nothing: all is well"
    if isinstance(error, ConfigError):
        return f"correct the config, then `pinery plan {config}`"
    if isinstance(error, LeaseHeldError):
        return f"`{again} --wait` waits for the other run (as a flow's parameter, wait: true)"
    named = named_in(str(error))
    if isinstance(error, RefusedError | DifferentError) and named:
        parameters = ", ".join(f"{name}: true" for name in named)
        line = " ".join([again, *map(flag, named)])
        return f"if that is as it should be, `{line}` (as a flow's parameter, {parameters})"
    if isinstance(error, RefusedError | DifferentError):
        return f"see `pinery plan {config}` and `pinery status {config}`; nothing goes on by itself"
    if isinstance(error, PineryError) and not error.rerun_helps:
        return f"once the cause is fixed, `{again}`"
    return f"`{again}` goes on where this run was"


def _reasons(report: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """Return the kind (quarantined or rejected), the reason and the number of the items that are left out."""
    found = report.get("not_indexed") or {}
    return [(kind, reason, times) for kind, reasons in found.items() for reason, times in reasons.items()]
