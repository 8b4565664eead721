"""Sends the heartbeats of a flow run as Prefect does, but from a thread for whose end nobody waits.

Prefect's own thread sleeps for a second at a time, and the flow run doesn't end before it has woken.
"""

import contextlib
import contextvars
import threading
from collections.abc import Callable
from functools import partial

from prefect import __version__
from prefect.context import FlowRunContext
from prefect.events import emit_event


def send_heartbeats(seconds: int | None) -> Callable[[], None]:
    """Send a heartbeat of the current flow run now and every `seconds`; return what stops that.

    Nothing is sent without a flow run, or where `seconds` is None.
    """
    ended, context = threading.Event(), FlowRunContext.get()
    if seconds is not None and context is not None and context.flow_run is not None:
        run, flow = context.flow_run, context.flow
        resource = {
            "prefect.resource.id": f"prefect.flow-run.{run.id}",
            "prefect.resource.name": run.name,
            "prefect.version": __version__,
        }
        of_flow = {
            "prefect.resource.id": f"prefect.flow.{run.flow_id}",
            "prefect.resource.role": "flow",
            "prefect.resource.name": flow.name if flow is not None else "",
        }
        beat = partial(emit_event, event="prefect.flow-run.heartbeat", resource=resource, related=[of_flow])
        # A copy of the context, in which the settings name the API.
        run_in_context = contextvars.copy_context().run
        threading.Thread(target=run_in_context, args=(_repeat, beat, seconds, ended), daemon=True).start()
    return ended.set


def _repeat(beat: Callable[[], object], seconds: int, ended: threading.Event) -> None:
    while True:
        with contextlib.suppress(Exception):  # a run doesn't need its heartbeats, and Prefect forgives them as well
            beat()
        if ended.wait(seconds):
            return
