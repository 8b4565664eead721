"""The task that plans the run and judges it."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pinery.steps import make_plan as step

make_plan = task(name="make plan", cache_policy=NO_CACHE, persist_result=False)(step.make_plan)
