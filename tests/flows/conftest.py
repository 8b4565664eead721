"""Flow tests run against one Prefect server."""

from collections.abc import Callable
from typing import Any

import pytest

import flows.reindex

AfterPlanning = Callable[[Callable[[], None]], None]


@pytest.fixture(autouse=True)
def _prefect(prefect_db: None) -> None:
    """Every test here runs flows."""


@pytest.fixture
def after_planning(monkeypatch: pytest.MonkeyPatch) -> AfterPlanning:
    """Has the next run's source change once its listing is planned, before anything is fetched."""
    original = flows.reindex.make_plan

    def at(change: Callable[[], None]) -> None:
        def then(*args: Any) -> Any:
            plan = original(*args)
            monkeypatch.setattr(flows.reindex, "make_plan", original)
            change()
            return plan

        monkeypatch.setattr(flows.reindex, "make_plan", then)

    return at
