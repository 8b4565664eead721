"""The kind of flow that works on a corpus: Prefect keeps no secret of its parameters, and tells a failure once."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from prefect import Flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.bring import LANES
from flows.logs import keep_to_one_line
from pinery.config_file import refuse_secrets


class CorpusFlow(Flow[..., Any]):
    """A flow whose first parameter is `config`."""

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """What Prefect keeps in clear with a run that is about to be made. Raises ConfigError for a secret in it."""
        config = parameters.get("config")
        refuse_secrets(config if isinstance(config, Mapping) else {"config": config}, "the inline config")
        return super().serialize_parameters(parameters)


def flow(name: str) -> Callable[[Callable[..., Any]], CorpusFlow]:
    """Makes a function the flow of that name."""
    keep_to_one_line()
    runner = ThreadPoolTaskRunner(max_workers=LANES)
    return partial(CorpusFlow, name=name, task_runner=runner, persist_result=False)
