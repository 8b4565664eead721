"""The task that embeds one part; faults of S3 and of workers retry the part, and nothing else does."""

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from pinery.errors import TransientError
from pinery.steps import embed_part as step

RETRIES = 3
FIRST_DELAY_SECONDS = 5


def is_transient(task: Any, task_run: Any, state: Any) -> bool:  # noqa: ARG001  # Prefect's signature
    """Return whether a later attempt may succeed, by the type of the error."""
    return isinstance(state.result(raise_on_failure=False), TransientError)


embed_part = task(
    name="embed part",
    task_run_name="embed {work.part}, {work.rows:,} images",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=RETRIES,
    retry_delay_seconds=exponential_backoff(backoff_factor=FIRST_DELAY_SECONDS),
    retry_jitter_factor=0.5,
    retry_condition_fn=is_transient,
)(step.embed_part)
