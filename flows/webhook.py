"""The address that Prefect calls when a run fails: a secret, kept in a Webhook block of Prefect and shown nowhere."""

import contextlib
import os
from typing import Any
from uuid import UUID

import httpx
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound, PrefectException
from pydantic import SecretStr

from pinery.errors import ConfigError, TerminalError

VARIABLE = "PINERY_WEBHOOK_URL"
BLOCK = "pinery-webhook"
JSON = {"Content-Type": "application/json"}
_RUN = (
    '"deployment": {{ (flow.name ~ "/" ~ deployment.name)|tojson }}, "flow_run": {{ (flow_run.name or "")|tojson }},'
    ' "state": {{ (flow_run.state.name or "")|tojson }}, "message": {{ said|tojson }},'
    ' "url": {{ (flow_run|ui_url or "")|tojson }}}'
)
_SAID = '{% set said = ((flow_run.state.message or "")|string)[:1000] %}'
PAYLOAD_FAILED = (
    _SAID + '{"event": "failed", "text": {{ ("Pinery: " ~ flow.name ~ "/" ~ deployment.name ~ ", run " ~ flow_run.name'
    ' ~ ": " ~ flow_run.state.name ~ ": " ~ said)|tojson }}, ' + _RUN
)
"""The template of what is sent about a run; `text` is the key that chat services show."""
PAYLOAD_OVERDUE = (
    _SAID
    + '{"event": "overdue", "text": {{ ("Pinery: " ~ flow.name ~ "/" ~ deployment.name ~ " has completed no run for'
    ' too long; the last that was heard of: run " ~ flow_run.name ~ ", " ~ flow_run.state.name)|tojson }}, ' + _RUN
)


def webhook_url() -> SecretStr | None:
    """Return the address in PINERY_WEBHOOK_URL; None where there is none. Raises ConfigError for what is no address."""
    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        return None
    try:
        url = httpx.URL(given)
        usable = url.scheme in ("http", "https") and bool(url.host)
    except httpx.InvalidURL:
        usable = False
    if not usable:
        raise ConfigError(
            f"{VARIABLE} holds no http(s) address, such as https://hooks.example.org/…; it isn't shown here"
        )
    return SecretStr(given)


def save_webhook(url: SecretStr) -> UUID:
    """Keep the address in Prefect, encrypted; return the block's id, which stays the same. Raises TerminalError."""
    try:
        block: Any = Webhook(url=url, headers=JSON).save(BLOCK, overwrite=True)
    except (httpx.HTTPError, PrefectException, ValueError) as error:
        # Not the error's own text, which may hold the address.
        raise TerminalError(
            f"Prefect did not keep the block {BLOCK} with {VARIABLE} ({type(error).__name__}); deploy again"
        ) from None
    return UUID(str(block))


def remove_webhook() -> None:
    """Remove the address from Prefect, if it is there."""
    with get_client(sync_client=True) as client, contextlib.suppress(ObjectNotFound):
        found = client.read_block_document_by_name(BLOCK, Webhook.get_block_type_slug())
        client.delete_block_document(found.id)
