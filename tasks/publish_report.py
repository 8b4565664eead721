"""The task that closes a run: the report in the state, and a table of it among Prefect's artifacts."""

from collections.abc import Sequence
from typing import Any

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from pinery.planning.plan import PlanCounts
from pinery.records import PartReport, UpsertReport
from pinery.steps.report import close_report
from pinery.steps.run import Run


@task(name="publish report", cache_policy=NO_CACHE, persist_result=False)
def publish_report(
    run: Run,
    report: dict[str, Any],
    parts: Sequence[PartReport],
    upserts: Sequence[UpsertReport],
    deleted: int,
    counts: PlanCounts,
    go_live: bool,
) -> dict[str, Any]:
    """Close the report and show its counts as the artifact `pinery-run`."""
    closed = close_report(run, report, parts, upserts, deleted, counts, go_live)
    rows = [{"what": key, "value": value} for key, value in closed.items() if isinstance(value, str | int | float)]
    create_table_artifact(key="pinery-run", table=rows, description=f"Run {run.name} of corpus {closed['corpus']}")
    return closed
