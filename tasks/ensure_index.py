"""The task that creates the index if it is absent."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pinery.steps import find_index as step

ensure_index = task(name="ensure index", cache_policy=NO_CACHE, persist_result=False)(step.ensure_index)
