"""The task that deletes what is no live row."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pinery.steps import delete_rows as step

delete_rows = task(name="delete rows", cache_policy=NO_CACHE, persist_result=False)(step.delete_rows)
