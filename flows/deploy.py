"""Makes a deployment of the flow `reindex` for one config, and gives it a schedule where one is asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL
from prefect.types.entrypoint import EntrypointType
from pydantic import ValidationError

from flows.automations import TAG, register_automations
from flows.reachable import check_reachable
from flows.reindex import reindex
from flows.webhook import webhook_url
from pinery.config import Config
from pinery.errors import ConfigError

ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)


def deploy(
    config: str, settings: Config, *, inline: bool, cron: str | None, timezone: str, pool: str, name: str | None
) -> dict[str, Any]:
    """Register `reindex` for a config file with the Prefect server at PREFECT_API_URL; return what was registered.

    The deployment holds the file's path, so that the file may be edited later; `inline`, it holds the settings.
    Without `cron`, a schedule that is there stays as it is; one that was paused stays paused in any case.

    Raises ConfigError for whatever can't be deployed as given, TerminalError where the server doesn't answer.
    """
    asked = _schedule(cron, timezone)
    webhook_url()  # an address that is none is told before anything is registered
    url = _api_url()
    named = name or f"corpus-{settings.corpus}"
    held = settings.model_dump(mode="json") if inline else str(Path(config).resolve())
    before = _deployed(pool, named, held)
    deployment: Any = reindex.to_deployment(
        named,
        description=f"Brings the index of corpus {settings.corpus} to the state of its source.",
        tags=[TAG],
        parameters={"config": held},
        schedules=_settled(asked, before.schedules if before else []),
        concurrency_limit=ONE_AT_A_TIME,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    deployment.apply(work_pool_name=pool)
    made = {"deployment": deployment.full_name, "config": config, "pool": pool, "api": url} | _schedules(named)
    return made | {"automations": register_automations()}


def _schedule(cron: str | None, timezone: str) -> CronSchedule | None:
    if cron is None:
        return None
    try:
        return CronSchedule(cron=cron, timezone=timezone)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f'--cron {cron!r} with --timezone {timezone!r} is no schedule ({reason}); an example: --cron "30 3 * * *"'
        ) from None


def register_alone() -> dict[str, str]:
    """Register the automations alone, for deployments that Prefect's own command made. Raises as `deploy` does."""
    webhook_url()
    _api_url()
    return register_automations()


def _api_url() -> str:
    url = PREFECT_API_URL.value()
    if not url:
        raise ConfigError(
            "PREFECT_API_URL is not set, so there is no Prefect server to register the deployment with. Start one with"
            " `prefect server start` and set it, for example: export PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    return check_reachable(url)


def _deployed(pool: str, name: str, config: str | dict[str, Any]) -> DeploymentResponse | None:
    """Return the deployment that this one replaces, if any.

    Raises ConfigError where it is of another config, or the work pool is missing.
    """
    with get_client(sync_client=True) as client:
        try:
            client.read_work_pool(pool)
        except ObjectNotFound:
            raise ConfigError(
                f"the Prefect server has no work pool {pool}; make it with `prefect work-pool create {pool} --type"
                " process`, or name another one with --pool"
            ) from None
        try:
            found = client.read_deployment_by_name(f"{reindex.name}/{name}")
        except ObjectNotFound:
            return None
    other = found.parameters.get("config")
    if isinstance(other, str) and isinstance(config, str) and other != config:
        raise ConfigError(
            f"the deployment {reindex.name}/{name} is there already, for the config {other}; give this one another"
            f" --name, or delete that one with `prefect deployment delete {reindex.name}/{name}`"
        )
    return found


def _settled(asked: CronSchedule | None, before: Sequence[DeploymentSchedule]) -> list[DeploymentScheduleCreate]:
    """Return the schedules to deploy: the one asked for, paused if someone paused it, else those that are there."""
    if asked is None:
        # Prefect removes schedules that a redeploy leaves out, and activates those whose `active` it leaves out.
        kept = [one.model_dump(include={"schedule", "active", "parameters", "slug"}) for one in before]
        return [DeploymentScheduleCreate(**one) for one in kept]
    paused = any(
        isinstance(one.schedule, CronSchedule)
        and (one.schedule.cron, one.schedule.timezone) == (asked.cron, asked.timezone)
        and not one.active
        for one in before
    )
    return [DeploymentScheduleCreate(schedule=asked, active=not paused)]


def _schedules(name: str) -> dict[str, Any]:
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(f"{reindex.name}/{name}")
    shown = [
        {"cron": getattr(one.schedule, "cron", str(one.schedule)), "timezone": getattr(one.schedule, "timezone", None)}
        | {"active": one.active}
        for one in found.schedules
    ]
    return {"schedules": shown, "paused": found.paused}
