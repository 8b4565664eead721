"""Flow tests run against one Prefect server."""

import pytest


@pytest.fixture(autouse=True)
def _prefect(prefect_db: None) -> None:
    """Every test here runs flows."""
