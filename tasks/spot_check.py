"""The task that compares an index with the live rows at the end of a run."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pinery.steps import spot_check as step

spot_check = task(name="check", cache_policy=NO_CACHE, persist_result=False)(step.spot_check)
"""`verify` is the flow that compares all ids; this is quicker."""
