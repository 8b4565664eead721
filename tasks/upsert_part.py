"""The task that brings one part to the index; the upsert engine owns its retries, so it has none."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pinery.steps import upsert_part as step

upsert_part = task(
    name="upsert part",
    task_run_name="upsert {work.part}, {work.rows:,} rows",
    cache_policy=NO_CACHE,
    persist_result=False,
)(step.upsert_part)
