"""The task that closes a run: the report in the state, the index live."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pinery.steps import report

publish_report = task(name="publish report", cache_policy=NO_CACHE, persist_result=False)(report.close_report)
