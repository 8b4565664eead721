"""The task that looks the index up before anything is embedded."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pinery.steps import find_index as step

find_index = task(name="find index", cache_policy=NO_CACHE, persist_result=False)(step.find_index)
