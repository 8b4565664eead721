"""Saves plans as files, and reads them for the run that is to do just what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.parameters import flag
from pinery.errors import ConfigError
from pinery.reports import Preview
from pinery.steps.saved_plan import read_plan


def save(plan: Preview, path: str) -> None:
    """Write the plan to a file, as `plan --json` prints it. Raises ConfigError where that can't be written."""
    try:
        Path(path).write_text(json.dumps(plan.to_dict(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--out {path} can't be written: {error.strerror or error}") from None


def read_saved(path: str, flags: Mapping[str, Any]) -> str:
    """Return the seal of a saved plan as a flow's parameter.

    Raises ConfigError where the file is no plan, or a flag among `flags` is not as the plan has it.
    """
    seal = read_plan(path)
    for name, value in seal.options.items():
        if flags.get(name) and flags[name] != value:
            raise ConfigError(
                f"{flag(name)} goes with making a plan: {path} was made"
                f" {f'with {value}' if value else 'without it'}, and a run does just what its plan says"
            )
    return seal.to_json()
