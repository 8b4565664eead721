"""Fixtures of most tests: a Prefect API for flow tests, small corpora on disk, and a cache folder for each test."""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.migrated import keep_migrated, migrated_once

pytest_plugins = [
    "tests.drills.costs",
    "tests.filled",
    "tests.pinecone_server.fixtures",
    "tests.prefect_server",
    "tests.s3_server",
]

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("pinery", deadline=None)
hypothesis.settings.load_profile("pinery")

# Read by Prefect's server when it starts: without batching, back-to-back flows wait for its database.
for _name, _value in {"BATCH_SIZE": "200", "READ_BATCH_SIZE": "200", "FLUSH_INTERVAL": "1"}.items():
    os.environ.setdefault(f"PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_{_name}", _value)
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED", "false")  # automations have servers of their own
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")

# Read by the threads of PyTorch: those that wait would spin, and take the cores from the processes at work beside them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A shell has what it starts in the background ignore Ctrl-C, and the processes that tests start would take it over.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of the session have in common."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def migrated(common: Path) -> Path:
    """A folder for the empty database of a Prefect server: to migrate it takes many seconds. See `migrated_once`."""
    folder = common / "migrated"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def own_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, migrated: Path
) -> Iterator[None]:
    """Copies of remote files go where no other test finds them; one test's empty database is there for the next."""
    folder = tmp_path_factory.mktemp("cache")
    for database in migrated.glob("*.db"):
        shutil.copy(database, folder)
    monkeypatch.setenv("PINERY_CACHE", str(folder))
    yield
    for database in folder.glob("prefect-*.db"):
        keep_migrated(database, migrated)


@pytest.fixture(scope="session")
def prefect_db(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One temporary Prefect server for all flow tests of the session."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    folder = tmp_path_factory.mktemp("harness")
    with contextlib.ExitStack() as running:
        with pytest.MonkeyPatch.context() as patch, migrated_once(migrated, folder / "prefect-test.db"):
            patch.setattr("prefect.testing.utilities.mkdtemp", lambda: str(folder))
            running.enter_context(prefect_test_harness(server_startup_timeout=120))
        running.enter_context(temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}))
        yield


@pytest.fixture
def save_secret(prefect_db: None) -> Iterator[Callable[[str, str], None]]:
    """Saves a value in the Secret block of a name, which no other test finds."""
    from prefect.blocks.system import Secret

    saved = set[str]()

    def save(name: str, value: str) -> None:
        Secret(value=value).save(name, overwrite=True)  # type: ignore[unused-coroutine]
        saved.add(name)

    yield save
    for name in saved:
        Secret.delete(name)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of twelve small JPEGs in three classes, all of different content."""
    from tests.corpora import paint

    folder = tmp_path / "images"
    for label in ("red", "green", "blue"):
        for number in range(4):
            paint(folder / f"{label}-{number}.jpg", label, number)
    return folder
