"""Drills share one Prefect server; each run is a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.corpora import COLOURS, config, paint
from tests.pinecone_server.fixtures import pinecone_environment as pinecone_environment
from tests.pinecone_server.fixtures import pinecone_server as pinecone_server
from tests.processes import write_config
from tests.s3_server import s3_server as s3_server

PER_LABEL = 50


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
