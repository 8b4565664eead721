"""The words of a run's end, for every kind of end; no report, however little is in it, goes without."""

from typing import Any

import pytest

from flows import run_summary
from flows.parameters import with_flags
from pinery.errors import (
    AccessDeniedError,
    ConfigError,
    DifferentError,
    LeaseHeldError,
    RefusedError,
    TerminalError,
    TransientError,
)

DIFFERENT = {"missing": 2, "extra": 0, "stale": 0, "wrong": 0, "wrong_metadata": 0, "repaired": None}
ENDS = [
    (RefusedError("4 would go; `allow_deletes` lets it pass"), "Refused", "allow_deletes: true"),
    (RefusedError("of 9; raise run.quarantine_guard"), "Refused", "`pinery plan c.yaml`"),
    (LeaseHeldError("run 1 holds the lease; `wait` waits"), "Refused", "`pinery run c.yaml --wait`"),
    (ConfigError("no such key"), "ConfigError", "correct the config"),
    (DifferentError("i", DIFFERENT), "Different", "`pinery run c.yaml --repair`"),
    (DifferentError("i", DIFFERENT | {"repaired": {"upserted": 1}}), "Different", "see `pinery plan c.yaml`"),
    (TerminalError("all 9 images; run again with `retry_quarantined`"), "Failed", "`pinery run c.yaml` goes on"),
    (AccessDeniedError("401"), "Failed", "once the cause is fixed, `pinery run c.yaml`"),
    (TransientError("503"), "Failed", "`pinery run c.yaml` goes on"),
    (LookupError("odd"), "Failed", "`pinery run c.yaml` goes on"),
]
REPORTS: list[dict[str, Any]] = [{}, {"corpus": "c", "not_indexed": None}, {"not_indexed": {"rejected": {"no": 2}}}]


@pytest.mark.parametrize(("error", "state", "next"), ENDS, ids=lambda one: str(one)[:30])
@pytest.mark.parametrize("report", REPORTS, ids=["nothing", "little", "reasons"])
def test_every_end_has_a_state_a_line_and_a_next_step(
    error: Exception, state: str, next: str, report: dict[str, Any]
) -> None:
    rows = {row["what"]: row["value"] for row in run_summary.table(report, error, "run", "c.yaml")}
    assert (run_summary.state_of(error), rows["state"]) == (state, state)
    assert rows["error"] == run_summary.line_of(error)
    assert "\n" not in rows["error"]
    assert next in rows["next"]
    assert rows.get("rejected: no") == (2 if report.get("not_indexed") else None)


@pytest.mark.parametrize("report", [*REPORTS, {"checked": 3}, {"embedded": 1200}], ids=str)
def test_a_run_that_is_done_is_told_whatever_is_known_of_it(report: dict[str, Any]) -> None:
    assert "index" in run_summary.summary(report)
    rows = {row["what"]: row["value"] for row in run_summary.table(report, None, "run", "c.yaml")}
    assert (rows["state"], rows["next"]) == ("done", "nothing: all is well")


def test_only_what_is_a_parameter_of_a_flow_is_named_as_one() -> None:
    assert run_summary.line_of(ConfigError("--set x; `limit` 3,\n  `wait`")) == "--set x; `limit` 3, `wait`"
    assert (
        with_flags("`limit` 3, `wait`, `retry_quarantined`, `other`")
        == "--limit 3, --wait, --retry-quarantined, `other`"
    )


def test_what_is_not_in_the_index_is_a_warning() -> None:
    report = {"quarantined": 1200, "moved": 3, "not_indexed": {"quarantined": {"empty": 1200}}}
    assert run_summary.warning(report, "pinery status c") == (
        "not in the index as listed: 1,200 quarantined, 3 moved (quarantined 1,200 times: empty);"
        " `pinery status c` lists them"
    )
    assert run_summary.warning({"quarantined": 0, "rejected": 0, "moved": 0}, "pinery status c") == ""
