"""Pinery's automations on a Prefect server, which act where a run can't: on one that is dead, and on bad ends.

`pinery deploy` and `make deploy` register them. They watch the deployments with the tag `pinery`, and no other.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, FlowFilter, FlowFilterName
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import PrefectException

from flows.run_summary import STATES
from flows.webhook import PAYLOAD_FAILED, PAYLOAD_OVERDUE, VARIABLE, remove_webhook, save_webhook, webhook_url
from pinery.errors import TerminalError

TAG = "pinery"
"""The tag of Pinery's deployments, and of its automations."""
HEARTBEAT_LOST = 3 * timedelta(seconds=180)
"""Three heartbeats at Prefect's default pace."""
OVERDUE_AFTER = timedelta(hours=36)
NO_HEARTBEAT, CANCELLING = "pinery: no heartbeat", "pinery: cancelled without an end"
FAILED, OVERDUE = "pinery: a run failed", "pinery: no reindex completed"
NAMES = (NO_HEARTBEAT, CANCELLING, FAILED, OVERDUE)
ENDED = ("Completed", "Failed", "Cancelled", "Crashed", "TimedOut", *(name for _, name in STATES))
"""The names of the states that end a flow run; Prefect names its events after them."""
BEGUN = ("Late", "Pending", "Running", *ENDED)
RESOURCE = "prefect.resource.id"
FLOW_RUNS = {RESOURCE: "prefect.flow-run.*"}
PAGE = 200


def register_automations(
    heartbeat_lost: timedelta = HEARTBEAT_LOST, overdue_after: timedelta = OVERDUE_AFTER
) -> dict[str, str]:
    """Bring the automations on the Prefect server to what the deployments there and PINERY_WEBHOOK_URL ask for.

    Returns what was done, by the automation's name. One that someone paused stays paused; one that is as it should be
    is left alone, because Prefect forgets what it was waiting for when it is changed. Raises ConfigError where the
    variable holds no address, and TerminalError where Prefect doesn't keep it.
    """
    url = webhook_url()
    try:
        with get_client(sync_client=True) as client:
            watched = sorted(_deployments(client))
            wanted = [_no_heartbeat(watched, heartbeat_lost), _cancelling(watched, heartbeat_lost)]
            if url is not None:
                block = save_webhook(url)
                wanted += [_failed(watched, block), _overdue(watched, block, overdue_after)]
            done = {one.name: _bring_to(client, one) for one in wanted}
            done |= {name: _remove(client, name) for name in NAMES if name not in done}
        if url is None:
            remove_webhook()
    except (httpx.HTTPError, PrefectException) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise TerminalError(f"the Prefect server did not take the automations ({said}); deploy again") from None
    return done


def own_automations(client: SyncPrefectClient, name: str) -> list[Automation]:
    """Return Pinery's automations of that name; one without the tag `pinery` is somebody else's."""
    return [one for one in client.read_automations_by_name(name) if TAG in one.tags]


def watches(automation: Automation, deployment: UUID) -> bool:
    """Return whether one of Pinery's automations watches a deployment."""
    trigger = automation.trigger
    among = trigger.match_related if isinstance(trigger, EventTrigger) else None
    return isinstance(among, ResourceSpecification) and f"prefect.deployment.{deployment}" in among[RESOURCE]


def _deployments(client: SyncPrefectClient) -> Iterator[tuple[str, bool]]:
    """Yield the resource of each of Pinery's deployments, and whether it is one of `reindex`."""
    reindex = {flow.id for flow in client.read_flows(flow_filter=FlowFilter(name=FlowFilterName(any_=["reindex"])))}
    chosen, offset = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG])), 0
    while page := client.read_deployments(deployment_filter=chosen, limit=PAGE, offset=offset):
        yield from ((f"prefect.deployment.{one.id}", one.flow_id in reindex) for one in page)
        offset += len(page)


def _bring_to(client: SyncPrefectClient, wanted: AutomationCore) -> str:
    there = own_automations(client, wanted.name)
    for double in there[1:]:
        client.delete_automation(double.id)
    if not there:
        client.create_automation(wanted)
        return "registered"
    if (there[0].trigger, there[0].actions) == (wanted.trigger, wanted.actions):
        return "unchanged"
    client.update_automation(there[0].id, wanted.model_copy(update={"enabled": there[0].enabled}))
    return "updated"


def _remove(client: SyncPrefectClient, name: str) -> str:
    there = own_automations(client, name)
    for one in there:
        client.delete_automation(one.id)
    return f"{'removed' if there else 'not registered'}: {VARIABLE} is not set"


def _no_heartbeat(watched: Sequence[tuple[str, bool]], lost: timedelta) -> AutomationCore:
    trigger = _silence("heartbeat", ("heartbeat", *ENDED), watched, lost)
    said = f"no sign of life for {lost.total_seconds():.0f} s: its process is dead, or was cut off from Prefect's API"
    crashed = ChangeFlowRunState(state=StateType.CRASHED, message=said)
    return _automation(NO_HEARTBEAT, "Marks a flow run whose process is gone as Crashed.", trigger, crashed)


def _cancelling(watched: Sequence[tuple[str, bool]], lost: timedelta) -> AutomationCore:
    # Of its own, because Prefect lets a run that is being cancelled become Cancelled and nothing else.
    trigger = _silence("Cancelling", ENDED, watched, lost)
    said = f"not ended within {lost.total_seconds():.0f} s of its cancellation: its process is dead"
    cancelled = ChangeFlowRunState(state=StateType.CANCELLED, message=said)
    about = "Marks a flow run as Cancelled that was cancelled when its process was gone."
    return _automation(CANCELLING, about, trigger, cancelled)


def _silence(after: str, expected: Sequence[str], watched: Sequence[tuple[str, bool]], lost: timedelta) -> EventTrigger:
    """Return the trigger that acts where a run's event isn't followed by one of others in time."""
    return EventTrigger(
        after={f"prefect.flow-run.{after}"},
        expect={f"prefect.flow-run.{name}" for name in expected},
        match=ResourceSpecification.model_validate(FLOW_RUNS),
        match_related=_among(watched),
        for_each={RESOURCE},
        posture=Posture.Proactive,
        threshold=1,
        within=lost,
    )


def _failed(watched: Sequence[tuple[str, bool]], block: UUID) -> AutomationCore:
    ends = [StateType.FAILED.value, StateType.CRASHED.value, StateType.CANCELLED.value]
    trigger = EventTrigger(
        # By the state's type: a failed run's state may be named Refused, and its event then is too.
        expect={"prefect.flow-run.*"},
        match=ResourceSpecification.model_validate(FLOW_RUNS | {"prefect.state-type": ends}),
        match_related=_among(watched),
        posture=Posture.Reactive,
        threshold=1,
    )
    call = CallWebhook(block_document_id=block, payload=PAYLOAD_FAILED)
    return _automation(FAILED, "Tells of flow runs that end as Failed, Crashed or Cancelled.", trigger, call)


def _overdue(watched: Sequence[tuple[str, bool]], block: UUID, after: timedelta) -> AutomationCore:
    trigger = EventTrigger(
        # The time runs from the last completion; where there is none yet, from the first that was heard of the
        # deployment, which is `Late` where no worker ever took a run.
        after={f"prefect.flow-run.{name}" for name in BEGUN},
        expect={"prefect.flow-run.Completed"},
        match=ResourceSpecification.model_validate(FLOW_RUNS),
        match_related=_among([one for one in watched if one[1]]),
        for_each={f"related:deployment:{RESOURCE}"},
        posture=Posture.Proactive,
        threshold=1,
        within=after,
    )
    call = CallWebhook(block_document_id=block, payload=PAYLOAD_OVERDUE)
    said = f"Tells of a deployment of reindex that completed no run in {after.total_seconds() / 3600:g} hours."
    return _automation(OVERDUE, said, trigger, call)


def _among(watched: Sequence[tuple[str, bool]]) -> ResourceSpecification:
    ids = [resource for resource, _ in watched]
    return ResourceSpecification.model_validate(
        # Without any, a name that no deployment has: an empty specification would match all.
        {"prefect.resource.role": "deployment", RESOURCE: ids or ["prefect.deployment.none"]}
    )


def _automation(name: str, description: str, trigger: EventTrigger, action: Any) -> AutomationCore:
    return AutomationCore(name=name, description=description, tags=[TAG], trigger=trigger, actions=[action])
