"""The artifacts of a flow run: pages in Markdown, tables and a bar. None fails a run, or holds it up for long."""

import contextlib
import json
import re
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.context import FlowRunContext
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, Settings

from tasks.changed_settings import changed_settings

Result = TypeVar("Result")

PATIENCE_SECONDS = 3.0


def artifact_key(corpus: str, kind: str) -> str:
    """Return the key of a corpus' artifacts of one kind: the page of a key is the history of all runs."""
    name = re.sub(r"[^a-z0-9]+", "-", corpus.lower()).strip("-")
    return f"pinery-{name}-{kind}" if name else f"pinery-{kind}"


def publish_artifact(
    key: str, kind: str, data: str | list[dict[str, Any]] | float, description: str = ""
) -> UUID | None:
    """Keep an artifact with the flow run that calls this, and return its id; where that fails, a warning and None.

    `kind` is Prefect's type of artifact: `markdown` for a text, `table` for rows, `progress` for a number up to 100.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return None
    given = json.dumps(data) if isinstance(data, list) else data
    made = ArtifactCreate(key=key, type=kind, description=description, data=given, flow_run_id=context.flow_run.id)
    found = _asked(key, lambda client: client.create_artifact(made))
    return found.id if found is not None else None


def update_progress(key: str, artifact: UUID, percent: float) -> bool:
    """Set a bar to so many percent; return whether Prefect took it."""

    def update(client: SyncPrefectClient) -> bool:
        client.update_artifact(artifact, ArtifactUpdate(data=percent))
        return True

    return _asked(key, update) is True


def _asked(key: str, request: Callable[[SyncPrefectClient], Result]) -> Result | None:
    try:
        with changed_settings({PREFECT_CLIENT_MAX_RETRIES: 0}) as settings:
            return request(_client(settings))
    except Exception as error:  # noqa: BLE001  # whatever it is: a run needs no artifact, and its report is in the state
        with contextlib.suppress(MissingContextError):
            get_run_logger().warning("the artifact %s could not be made: %s: %s", key, type(error).__name__, error)
        return None


_clients: list[tuple[Settings, SyncPrefectClient]] = []
"""The newest client, if any, and the settings that it was made with."""


def _client(settings: Settings) -> SyncPrefectClient:
    """The client that all artifacts of a process have in common, since its certificates take long to load.

    It keeps no connection, which the server may close at any time.
    """
    for known, client in _clients:
        if known is settings:
            return client
    limits = httpx.Limits(max_keepalive_connections=0)
    made = get_client(httpx_settings={"timeout": PATIENCE_SECONDS, "limits": limits}, sync_client=True)
    _clients[:] = [(settings, made.__enter__())]
    return made
