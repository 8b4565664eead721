"""Reads one run's report from the state, and believes only what a run may have written."""

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from pinery.checkpoint.store import Store
from pinery.parquet.damage import parsing
from pinery.reports import RunReport

TIMES = ("started", "finished")


def read_report(store: Store, name: str) -> RunReport | None:
    """Return the report in the file `name`, which is named after its run; None where it is gone.

    Raises DamagedError where the file holds anything else than the report of that run.
    """
    found = store.read(name)
    if found is None:
        return None
    with parsing(f"{store.root}/{name}", "runs"):
        report = RunReport.from_dict(json.loads(found[0]))
        _check(report, name.rpartition("/")[2].removesuffix(".json"))
    return report


def _check(report: RunReport, run: str) -> None:
    """Raise ValueError unless this can be the report of `run`."""
    if report.run != run:
        raise ValueError(f"it names the run {report.run!r}" if report.run else "it names no run")
    types = get_type_hints(RunReport)
    for one in fields(RunReport):
        value = getattr(report, one.name)
        if value is not None and not _fits(value, types[one.name]):
            raise ValueError(f"{one.name} can't be {value!r}")
    for time in (getattr(report, name) for name in TIMES):
        if time and datetime.fromisoformat(time).tzinfo is None:
            raise ValueError(f"the time {time!r} has no time zone")


def _fits(value: Any, kind: Any) -> bool:
    """Return whether a value from JSON is of a field's type."""
    if isinstance(kind, UnionType):
        return any(_fits(value, one) for one in get_args(kind))
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(_fits(one, inner[1]) for one in value.values())
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(one, inner[0]) for one in value)
    if kind in (int, float):
        return isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    return isinstance(value, kind)
