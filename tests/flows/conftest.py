"""Flow tests run against one Prefect server."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _prefect(prefect_db: None) -> None:
    """Every test here runs flows."""
