"""The task that fills a new namespace by a bulk import."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from pinery.steps import bulk_import as step

import_rows = task(name="import rows", cache_policy=NO_CACHE, persist_result=False)(step.import_rows)
