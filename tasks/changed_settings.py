"""Settings of Prefect that hold for a while."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from prefect.context import SettingsContext, get_settings_context
from prefect.settings import Settings, temporary_settings
from prefect.settings.legacy import Setting

KEPT = 8

_copies: list[tuple[Settings, Mapping[Setting, Any], Settings]] = []
"""Settings, what was changed in them, and the copy; the newest last."""


@contextlib.contextmanager
def changed_settings(changes: Mapping[Setting, Any]) -> Iterator[Settings]:
    """Have some of Prefect's settings other values inside; yields all settings.

    As Prefect's `temporary_settings`, but what was changed so before isn't copied again: it takes 20 ms to read the
    environment and to check all values.
    """
    context = get_settings_context()
    changed = _copy(context.settings, changes)
    with SettingsContext(profile=context.profile, settings=changed):
        yield changed


def _copy(settings: Settings, changes: Mapping[Setting, Any]) -> Settings:
    for known, known_changes, copy in _copies:
        if known is settings and known_changes == changes:
            return copy
    with temporary_settings(changes) as made:
        _copies.append((settings, dict(changes), made))
    del _copies[:-KEPT]
    return made
