"""The task that waits for an import which an earlier run began."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pinery.steps import bulk_import as step

resume_import = task(name="resume import", cache_policy=NO_CACHE, persist_result=False)(step.resume_import)
