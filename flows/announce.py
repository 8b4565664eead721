"""Tells Prefect which target of a corpus is live: by a Variable and by an event. Nothing in Pinery reads either."""

import re
import sys
from collections.abc import Mapping
from typing import Any

import click
import httpx
from prefect.events import emit_event
from prefect.events.worker import EventsWorker
from prefect.exceptions import PrefectException
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from prefect.variables import Variable

from flows.reachable import answers
from pinery.reports import Promotion

EVENT = "pinery.index"
"""Events are named after what was done: `pinery.index.promoted` and `pinery.index.rolled-back`."""


def variable_name(corpus: str) -> str:
    """Return the name of the Variable that has a corpus' live target."""
    return f"pinery_live_{re.sub(r'[^a-z0-9_]', '_', corpus.lower())}"


def announce(promotion: Promotion) -> None:
    """Set the Variable of the corpus, and emit the event of the change, where Prefect's API answers.

    Neither is needed for anything, so a failure is a line on stderr and no more.
    """
    url = PREFECT_API_URL.value()
    if not url or not answers(url):
        return
    known: Mapping[str, Any] = promotion.to_dict()
    live = {"generation": promotion.generation, **promotion.live}
    try:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            Variable.set(variable_name(promotion.corpus), live, overwrite=True)
            resource = {"prefect.resource.id": f"pinery.corpus.{promotion.corpus}"}
            emit_event(f"{EVENT}.{promotion.what}", resource, payload=dict(known))
            EventsWorker.instance().wait_until_empty()
    except (httpx.HTTPError, PrefectException, ValueError) as error:
        click.echo(f"pinery: Prefect was not told what is live now ({type(error).__name__}: {error})", file=sys.stderr)
