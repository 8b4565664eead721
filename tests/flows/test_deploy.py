"""`pinery deploy` makes a deployment for a config, leaves alone what someone decided, and says what it can't do."""

import contextlib
import importlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.automations import TAG
from flows.cli.launch import deploy
from pinery.errors import ConfigError, TerminalError
from tests.corpora import config
from tests.processes import write_config

FLAGS: dict[str, Any] = {"cron": None, "timezone": "UTC", "pool": "process", "name": None}
NIGHTLY = "30 3 * * *"
ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def client() -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        with contextlib.suppress(ObjectAlreadyExists):
            client.create_work_pool(WorkPoolCreate(name="process", type="process"))
        yield client


@pytest.fixture
def path(images: Path, tmp_path: Path) -> str:
    """A config of a corpus that no other test deploys."""
    corpus = {"corpus": uuid.uuid4().hex}
    return str(write_config(tmp_path / "config.yaml", config(images, tmp_path / "state") | corpus))


def deployments() -> list[dict[str, Any]]:
    """Those of prefect.yaml."""
    return list(yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"])


@pytest.mark.parametrize("deployment", deployments(), ids=lambda one: one["name"])
def test_each_deployment_of_prefect_yaml_is_watched_and_its_form_explains_every_parameter(
    deployment: dict[str, Any],
) -> None:
    assert deployment["description"]
    assert TAG in deployment["tags"], "or the automations don't watch it"
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    assert all("active" in schedule for schedule in deployment["schedules"])
    module, _, name = deployment["entrypoint"].replace("/", ".").partition(".py:")
    form = getattr(importlib.import_module(module), name).parameters.model_dump()["properties"]
    assert deployment["parameters"].keys() <= form.keys()
    for parameter, shown in form.items():
        assert len(shown.get("description", "").split()) >= 4, f"{name}'s docstring says nothing of {parameter}"
        assert "type" in shown or all("type" in one for one in shown["anyOf"]), parameter


def schedules(made: dict[str, Any]) -> list[tuple[str, str, bool]]:
    return [(one["cron"], one["timezone"], one["active"]) for one in made["schedules"]]


def test_the_deployment_has_the_configs_path_and_its_own_schedule(client: SyncPrefectClient, path: str) -> None:
    made = deploy(path, [], FLAGS | {"cron": NIGHTLY, "timezone": "Europe/Berlin"})
    assert schedules(made) == [(NIGHTLY, "Europe/Berlin", True)]
    found = client.read_deployment_by_name(made["deployment"])
    assert found.parameters == {"config": path}
    assert found.entrypoint == "flows.reindex.reindex"
    assert found.work_pool_name == "process"
    assert found.global_concurrency_limit is not None
    assert found.global_concurrency_limit.limit == 1
    assert found.concurrency_options is not None
    assert found.concurrency_options.collision_strategy == "CANCEL_NEW"


def test_another_schedule_takes_the_place_of_the_former(client: SyncPrefectClient, path: str) -> None:
    assert schedules(deploy(path, [], FLAGS)) == []
    deploy(path, [], FLAGS | {"cron": NIGHTLY})
    assert schedules(deploy(path, [], FLAGS | {"cron": "0 5 * * *"})) == [("0 5 * * *", "UTC", True)]
    assert schedules(deploy(path, [], FLAGS)) == [("0 5 * * *", "UTC", True)], "without --cron it stays"


@pytest.mark.parametrize("cron", [None, NIGHTLY])
def test_a_schedule_that_someone_paused_stays_paused(client: SyncPrefectClient, path: str, cron: str | None) -> None:
    made = deploy(path, [], FLAGS | {"cron": NIGHTLY})
    found = client.read_deployment_by_name(made["deployment"])
    client.update_deployment_schedule(found.id, found.schedules[0].id, active=False)
    assert schedules(deploy(path, [], FLAGS | {"cron": cron})) == [(NIGHTLY, "UTC", False)]


def test_overrides_are_kept_with_the_whole_config(client: SyncPrefectClient, path: str) -> None:
    made = deploy(path, ["run.part_rows=7"], FLAGS)
    held = client.read_deployment_by_name(made["deployment"]).parameters["config"]
    assert held["run"]["part_rows"] == 7
    assert Path(held["source"]["path"]).is_absolute()


def test_a_deployment_of_another_config_is_not_replaced(client: SyncPrefectClient, path: str, tmp_path: Path) -> None:
    made = deploy(path, [], FLAGS)
    other = tmp_path / "other.yaml"
    other.write_text(Path(path).read_text())
    with pytest.raises(ConfigError, match=rf"there already, for the config {path}; give this one another --name"):
        deploy(str(other), [], FLAGS)
    again = deploy(str(other), [], FLAGS | {"name": uuid.uuid4().hex})
    assert again["deployment"] != made["deployment"]
    assert client.read_deployment_by_name(made["deployment"]).parameters == {"config": path}


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"cron": "every night"}, "--cron 'every night' .* is no schedule"),
        ({"cron": "61 3 * * *"}, "--cron '61 3"),
        ({"cron": NIGHTLY, "timezone": "Mars/Olympus"}, "--timezone 'Mars/Olympus' is no schedule"),
        ({"pool": "nowhere"}, "no work pool nowhere; make it with `prefect work-pool create nowhere --type process`"),
    ],
    ids=str,
)
def test_what_can_not_be_deployed_is_a_usage_error(
    client: SyncPrefectClient, path: str, flags: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        deploy(path, [], FLAGS | flags)
    assert "\n" not in str(error.value)


def test_without_a_server_the_variable_is_named(path: str) -> None:
    with temporary_settings({PREFECT_API_URL: None}), pytest.raises(ConfigError, match="PREFECT_API_URL is not set"):
        deploy(path, [], FLAGS)
    with (
        temporary_settings({PREFECT_API_URL: "http://me:hidden@127.0.0.1:9/api"}),
        pytest.raises(TerminalError, match=r"PREFECT_API_URL=http://127.0.0.1:9/api does not answer"),
    ):
        deploy(path, [], FLAGS)
