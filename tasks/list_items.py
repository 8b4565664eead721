"""The task that lists the corpus."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pinery.steps import list_items as step

list_items = task(name="list items", cache_policy=NO_CACHE, persist_result=False)(step.list_items)
