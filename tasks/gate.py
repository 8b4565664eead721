"""The task that judges a candidate against the live target."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pinery.steps import gate as step

judge_candidate = task(name="gate", cache_policy=NO_CACHE, persist_result=False)(step.judge_candidate)
