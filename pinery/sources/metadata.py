"""Metadata from keys and sidecars, cleaned to what an index takes: flat; strings, numbers, bools, lists of strings."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import date, time
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from pinery.config import SourceBase
from pinery.errors import ConfigError
from pinery.sources.ids import item_id, readable
from pinery.sources.sidecar import Sidecar

MAX_METADATA_BYTES = 40_960
MAX_INTEGER = 2**53  # an index stores numbers as float64


class Describer:
    """Gives items their ids and metadata, as the settings of a source say."""

    def __init__(self, settings: SourceBase) -> None:
        """Raises ConfigError where the sidecar can't be read or used."""
        self._ids = settings.ids
        self._parent = settings.metadata == "parent"
        self._pattern = re.compile(settings.metadata) if settings.metadata and not self._parent else None
        self._sidecar = Sidecar(settings.sidecar) if settings.sidecar else None

    def __call__(self, key: str, known: Mapping[str, Any] | None = None) -> tuple[str, str]:
        """The id and the metadata JSON of the item with `key`.

        What the key tells goes over what is `known` of the item, and the sidecar goes over both.
        Raises ConfigError where the metadata can't go into an index.
        """
        id = item_id(key, self._ids)
        metadata: dict[str, Any] = dict(known or {})
        if self._parent:
            metadata |= from_parent(key)
        if self._pattern is not None:
            metadata |= from_pattern(key, self._pattern)
        if self._sidecar is not None:
            metadata |= self._sidecar.get(id)
        return id, clean(metadata, id)


def from_parent(key: str) -> dict[str, str]:
    """`label`: the name of the folder that holds the item; nothing for an item at the root."""
    parent = PurePosixPath(key).parent.name
    return {"label": readable(parent)} if parent else {}


def from_pattern(key: str, pattern: re.Pattern[str]) -> dict[str, str]:
    """The named groups of `pattern` that took part in its first match within `key`."""
    match = pattern.search(readable(key))
    return {name: value for name, value in match.groupdict().items() if value is not None} if match else {}


def clean(metadata: Mapping[str, Any], id: str = "") -> str:
    """`metadata` as canonical JSON text, sorted by name; nulls and NaN are left out, other lists become lists of text.

    Raises ConfigError naming the column and the item `id` where a value or a name can't go into an index, or where
    the JSON has more than 40,960 bytes.
    """
    kept: dict[str, str | float | bool | list[str]] = {}
    for name, raw in metadata.items():
        try:
            _check_name(name)
            value = _value(raw)
        except _UnfitError as error:
            raise ConfigError(f"metadata of item {id!r}, column {name!r}: {error}") from None
        if value is not None:
            kept[name] = value
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ConfigError(f"metadata of item {id!r} is no valid Unicode: {text!a}") from None
    if size > MAX_METADATA_BYTES:
        raise ConfigError(
            f"metadata of item {id!r} has {size:,} bytes of JSON, and an index takes {MAX_METADATA_BYTES:,}; "
            "leave out its largest columns"
        )
    return text


class _UnfitError(Exception):
    """A name or value that no index takes."""


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name or name.startswith("$"):
        raise _UnfitError("its name must be a text, not empty and not starting with `$`; rename it")


def _value(value: Any) -> str | float | bool | list[str] | None:
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        elements = [_scalar(element) for element in value]
        return [e if isinstance(e, str) else json.dumps(e) for e in elements if e is not None]
    return _scalar(value)


def _scalar(value: Any) -> str | float | bool | None:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise _UnfitError(f"{value} doesn't fit a 64-bit float exactly; store such numbers as text")
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise _UnfitError("infinity is not a number that an index takes")
        return None if math.isnan(value) else value
    if isinstance(value, date | time):
        return value.isoformat()
    raise _UnfitError(f"{type(value).__name__} is none of: text, number, bool, list of text")
