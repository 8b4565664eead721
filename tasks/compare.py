"""The task that compares an index with the live rows, id by id."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pinery.steps import compare as step

compare = task(name="compare", cache_policy=NO_CACHE, persist_result=False)(step.compare)
