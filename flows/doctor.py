"""The doctor's look at Prefect: its API and version, a config's deployments, their schedules and last runs."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import prefect
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectException
from prefect.settings import PREFECT_API_URL

from flows.automations import CANCELLING, FAILED, NAMES, NO_HEARTBEAT, own_automations, watches
from flows.reachable import check_reachable
from flows.secret_blocks import provide_secrets_if_configured
from pinery.addresses import without_secrets
from pinery.config import Config
from pinery.errors import PineryError
from pinery.reports import Check

FLOW = "reindex"
RECENT = timedelta(hours=36)
PAGE = 200
ENDED = [StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED]
SHOWN_TIME = "%Y-%m-%d %H:%M UTC"


def check_prefect(config: str, settings: Config) -> list[Check]:
    """Return what is found of Prefect; what the config needs and the environment lacks is taken from Secret blocks."""
    url = PREFECT_API_URL.value()
    if not url:
        found = "PREFECT_API_URL is not set: each run has a temporary server of its own"
        return [Check("prefect", "ok", found, "for a schedule, start a server and set it; then `pinery deploy`")]
    try:
        bare = check_reachable(url)
        with contextlib.suppress(PineryError):  # then the variable is missing, which another check says
            provide_secrets_if_configured(settings)
        with get_client(sync_client=True) as client:
            return [_check_versions(client, bare), *_check_deployments(client, config, settings)]
    except PineryError as error:
        return [Check("prefect", "wrong", str(error))]
    except (httpx.HTTPError, PrefectException, RuntimeError, ValueError) as error:
        said = without_secrets(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
        return [Check("prefect", "wrong", f"the Prefect API does not answer as it should: {said}", _access())]


def _access() -> str:
    return "check PREFECT_API_URL, and PREFECT_API_KEY or PREFECT_API_AUTH_STRING where the server wants one"


def _check_versions(client: SyncPrefectClient, url: str) -> Check:
    """Return whether the server's version fits the client's, by Prefect's own rule: same major, and not older."""
    answer = client.request("GET", "/admin/version")
    answer.raise_for_status()
    server = str(answer.json())
    found = f"{url} answers; server {server}, client {prefect.__version__}"
    theirs, ours = _numbers(server), _numbers(prefect.__version__)
    if not theirs:
        return Check("prefect", "wrong", f"{url} names no version of Prefect", "check PREFECT_API_URL")
    if theirs[0] != ours[0]:
        return Check("prefect", "wrong", found, "their major versions must be the same: install the other's")
    if theirs < ours:
        return Check("prefect", "warning", found, "update the server: it must not be older than the client")
    return Check("prefect", "ok", found)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with, such as (3, 9, 1); none where it is no version."""
    found = re.match(r"\d+(\.\d+)+", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _check_deployments(client: SyncPrefectClient, config: str, settings: Config) -> Iterator[Check]:
    mine = [one for one in _deployments(client) if _is_of(one, config, settings)]
    if not mine:
        yield Check(
            "schedule", "warning", "no deployment has this config", 'schedule it: `pinery deploy CONFIG --cron "…"`'
        )
    if mine:
        yield _check_automations(client, mine)
    for one in mine:
        yield _check_schedule(one)
        yield _check_last_flow_run(client, one)
        if late := _late(client, one):
            found = f"{FLOW}/{one.name}: {late} {'run is' if late == 1 else 'runs are'} late"
            advice = f"a worker takes them: `prefect worker start --pool {one.work_pool_name}`"
            yield Check("worker", "wrong", found, advice)


def _deployments(client: SyncPrefectClient) -> Iterator[DeploymentResponse]:
    """Yield all deployments of the flow, page by page."""
    flow, offset = FlowFilter(name=FlowFilterName(any_=[FLOW])), 0
    while page := client.read_deployments(flow_filter=flow, limit=PAGE, offset=offset):
        yield from page
        offset += len(page)


def _is_of(deployment: DeploymentResponse, config: str, settings: Config) -> bool:
    """Return whether a deployment runs this config: by its path, or by the settings that it holds."""
    held = deployment.parameters.get("config")
    if isinstance(held, Mapping):
        return (held.get("corpus"), held.get("state")) == (settings.corpus, settings.state)
    return isinstance(held, str) and Path(held).resolve() == Path(config).resolve()


def _check_schedule(deployment: DeploymentResponse) -> Check:
    name = f"{FLOW}/{deployment.name}"
    if deployment.paused:
        return Check("schedule", "warning", f"{name} is paused", "resume it on Prefect's page")
    active = [one.schedule for one in deployment.schedules if one.active]
    if not active:
        found = f"{name} has {'only paused schedules' if deployment.schedules else 'no schedule'}"
        advice = f'`pinery deploy CONFIG --cron "…"` gives it one; `prefect deployment schedule ls {name}` lists them'
        return Check("schedule", "warning", found, advice)
    shown = [f"{getattr(one, 'cron', one)} {getattr(one, 'timezone', None) or ''}".strip() for one in active]
    return Check("schedule", "ok", f"{name} runs at {', '.join(shown)}")


def _check_automations(client: SyncPrefectClient, mine: Sequence[DeploymentResponse]) -> Check:
    """Return whether a run that dies is noticed, and whether anybody is told of a failed one."""
    acting = {
        name
        for name in NAMES
        for one in own_automations(client, name)
        if one.enabled and all(watches(one, deployment.id) for deployment in mine)
    }
    if idle := [name for name in (NO_HEARTBEAT, CANCELLING) if name not in acting]:
        found = f"{idle[0]!r} isn't there, is paused or doesn't watch this deployment: a dead run stays as it is"
        return Check("automations", "warning", found, "`pinery deploy CONFIG` registers it")
    if FAILED not in acting:
        advice = "for a call when a run fails, set PINERY_WEBHOOK_URL and deploy again"
        return Check("automations", "ok", "a run that dies is marked Crashed; no webhook is called", advice)
    return Check("automations", "ok", "a run that dies is marked Crashed, and a webhook tells of failed runs")


def _check_last_flow_run(client: SyncPrefectClient, deployment: DeploymentResponse) -> Check:
    name = f"{FLOW}/{deployment.name}"
    run = _last_run(client, deployment)
    if run is None or run.state is None or run.end_time is None:
        advice = f"run it once: `prefect deployment run '{name}'`"
        return Check("last scheduled run", "warning", f"{name} has not run yet", advice)
    end = datetime.fromtimestamp(run.end_time.timestamp(), UTC)
    found = f"{name} ended {run.state.name} at {end.strftime(SHOWN_TIME)}"
    if run.state.type != StateType.COMPLETED:
        said = without_secrets(run.state.message or "")
        return Check("last scheduled run", "wrong", f"{found}: {said}" if said else found, "mend its cause, run again")
    if datetime.now(UTC) - end > RECENT:
        advice = "if it is to run every night, look whether a worker runs and the schedule is active"
        return Check(
            "last scheduled run", "warning", f"{found}, over {RECENT.total_seconds() / 3600:.0f} h ago", advice
        )
    return Check("last scheduled run", "ok", found)


def _last_run(client: SyncPrefectClient, deployment: DeploymentResponse) -> FlowRun | None:
    ended = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=ENDED)))
    found = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
        flow_run_filter=ended,
        sort=FlowRunSort.END_TIME_DESC,
        limit=1,
    )
    return found[0] if found else None


def _late(client: SyncPrefectClient, deployment: DeploymentResponse) -> int:
    """Return how many runs should have begun and have not, a page at most."""
    late = FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Late"])))
    chosen = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
    return len(client.read_flow_runs(deployment_filter=chosen, flow_run_filter=late, limit=PAGE))
