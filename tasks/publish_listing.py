"""The task that makes a run's listing the current one."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pinery.steps import list_items as step

publish_listing = task(name="publish listing", cache_policy=NO_CACHE, persist_result=False)(step.publish_listing)
