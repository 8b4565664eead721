"""The task that closes a run: the index live, the report in the state."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pinery.steps import close_run as step

close_run = task(name="close run", cache_policy=NO_CACHE, persist_result=False)(step.close_run)
