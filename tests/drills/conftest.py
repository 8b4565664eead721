"""Drills share one Prefect server; each run is a process of its own. What they cost is told in a table at the end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pinery.records import Stored
from tests.corpora import COLOURS, config, paint
from tests.drills.checks import Losses, held, run_here
from tests.drills.costs import RECORDS, add
from tests.processes import write_config

PER_LABEL = 50
TOTAL = PER_LABEL * len(COLOURS)
Record = Callable[[str, int, Losses], None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("drill")


@pytest.fixture
def drill_record(request: pytest.FixtureRequest) -> Record:
    """Notes how often a drill was run and what it cost; the counts of one name add up."""
    records = request.config.stash[RECORDS]

    def record(name: str, times: int, losses: Losses) -> None:
        add(records, name, (times, *losses))

    return record


@pytest.fixture(autouse=True)
def _prefect(prefect_db: None) -> None:
    """Every drill runs flows."""


@pytest.fixture(scope="session")
def many_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 150 images, never changed by a test."""
    folder = tmp_path_factory.mktemp("many")
    for label in COLOURS:
        for number in range(PER_LABEL):
            paint(folder / f"{label}-{number:03d}.jpg", label, number)
    return folder


@pytest.fixture
def config_file(many_images: Path, tmp_path: Path) -> Path:
    """A config over those images with parts of five rows, so that a run has thirty."""
    return write_config(tmp_path / "config.yaml", config(many_images, tmp_path / "state"))


@pytest.fixture(scope="session")
def undisturbed(many_images: Path, tmp_path_factory: pytest.TempPathFactory, prefect_db: None) -> dict[str, Stored]:
    """The rows of the index after a run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("undisturbed")
    path = write_config(folder / "config.yaml", config(many_images, folder / "state"))
    assert run_here(path)["embedded"] == TOTAL
    return held(path)
