"""The task that compares the index with the live rows."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pinery.steps import verify

verify = task(name="verify", cache_policy=NO_CACHE, persist_result=False)(verify.verify)
