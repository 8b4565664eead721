"""The artifact `pinery-run` of a flow run: a table of what became of it. It neither fails a run nor holds it up."""

import json
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

KEY = "pinery-run"
PATIENCE_SECONDS = 3.0


def publish_artifact(rows: list[dict[str, Any]], description: str) -> None:
    """Keep a table of `what` and `value` with the flow run that calls this; a warning where that can't be done."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    made = ArtifactCreate(
        key=KEY, type="table", description=description, data=json.dumps(rows), flow_run_id=context.flow_run.id
    )
    try:
        with (
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
            get_client(httpx_settings={"timeout": PATIENCE_SECONDS}, sync_client=True) as client,
        ):
            client.create_artifact(made)
    except Exception as error:  # noqa: BLE001  # whatever it is: the run is over, and its report is in the state
        get_run_logger().warning("the artifact %s could not be made: %s: %s", KEY, type(error).__name__, error)
