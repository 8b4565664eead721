"""The kind of flow that works on a corpus: Prefect keeps no secret of its parameters, and shows a failure once."""

import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
from prefect import Flow
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic_core import to_jsonable_python

from flows.api_watch import watched
from flows.embed_and_upsert import THREADS
from flows.logs import keep_to_one_line
from flows.outcome import forget, last_outcome
from flows.progress import current_progress
from pinery.config_file import load_config, refuse_secrets
from pinery.errors import ConfigError


class CorpusFlow(Flow[..., Any]):
    """A flow whose first parameter is `config`, and whose body returns what `Outcome.end` does."""

    def __call__(self, *args: Any, **parameters: Any) -> Any:
        """Run the flow in this process; return or raise what its work did, also where Prefect's API died meanwhile."""
        forget()
        with watched(PREFECT_API_URL.value()):
            try:
                return super().__call__(*args, **parameters)
            except (httpx.HTTPError, PrefectException) as error:
                outcome = last_outcome()
                if outcome is None:
                    raise
                untold = f"Prefect's API could not be told how the run ended ({type(error).__name__})"
        current_progress().note(untold)
        return outcome.value()

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters of a run as Prefect keeps them, in clear. Raises ConfigError for a secret in them."""
        config = parameters.get("config")
        refuse_secrets(config if isinstance(config, Mapping) else {"config": config}, "the inline config")
        # Prefect does the same by way of FastAPI, which takes 0.1 s to import.
        kept: dict[str, Any] = to_jsonable_python(parameters, serialize_unknown=True)
        return kept


def flow(name: str) -> Callable[[Callable[..., Any]], CorpusFlow]:
    """Return a decorator that makes a function the flow of that name."""
    keep_to_one_line()
    runner: Any = ThreadPoolTaskRunner(max_workers=THREADS)
    return partial(CorpusFlow, name=name, flow_run_name=_name_run, task_runner=runner, persist_result=False)


def _name_run() -> str:
    """Return the name of the flow run that is about to begin: its corpus, as far as it can be told, and the time."""
    config, corpus = flow_run.parameters.get("config"), ""
    with contextlib.suppress(ConfigError):
        corpus = load_config(config).corpus if isinstance(config, str | dict) else ""
    return f"{corpus or 'unreadable config'} {datetime.now(UTC):%Y-%m-%d %H:%M}"
