"""Metadata from keys and sidecars, cleaned to what an index takes: flat; strings, numbers, bools, lists of strings."""

import functools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time
from itertools import repeat
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from pinery.errors import BadMetadataError, ConfigError
from pinery.records import Item
from pinery.source_kinds import SourceBase
from pinery.sources.columns import MAX_INTEGER
from pinery.sources.found import Found
from pinery.sources.ids import item_id, plain, readable
from pinery.sources.sidecar import Names, Sidecar
from pinery.sources.sidecar_file import open_sidecar

MAX_METADATA_BYTES = 40_960
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
FEW = 0.01
"""A pattern or a sidecar that matches less than this share of the items is reported: it was meant for more of them."""


class Describer:
    """Gives items their ids and metadata, as the settings of a source say; counts what sidecar and pattern match."""

    def __init__(self, settings: SourceBase, prefix: str = "") -> None:
        """Take what the settings say; keys lie below `prefix`, which rows of a sidecar may name too."""
        self._ids = settings.ids
        self._parent = settings.metadata == "parent"
        self._pattern = re.compile(settings.metadata) if settings.metadata and not self._parent else None
        self._uri_key, self._prefix = settings.uri_key, prefix
        self._settings = settings
        self._items = self._by_pattern = self._by_sidecar = 0

    @functools.cached_property
    def sidecar(self) -> Sidecar | None:
        """The sidecar, which is read at first use, or None. Raises as `open_sidecar`."""
        return open_sidecar(self._settings)

    def begin(self) -> None:
        """Read the sidecar, if there is one, and count anew. Raises as `sidecar`."""
        self._items = self._by_pattern = self._by_sidecar = 0
        if self.sidecar is not None:
            self.sidecar.forget_matches()

    def id(self, key: str) -> str:
        """Return the id of the item with `key`."""
        return item_id(key, self._ids)

    def items(self, found: Sequence[Found]) -> Iterator[Item]:
        """Yield the items with their ids and metadata; one whose metadata can't go into an index says why.

        What the key tells goes over what the source knows of an item, and the sidecar goes over both; the uri over all.
        Raises ConfigError where two rows of the sidecar name one item, or a name can't be metadata's.
        """
        rows = repeat(None) if self.sidecar is None else self.sidecar.find(map(self._names, found))
        for one, row in zip(found, rows, strict=False):
            id, error = self.id(one.key), None
            try:
                metadata = clean(self._metadata(one, row), id)
            except BadMetadataError as why:
                metadata, error = "{}", str(why)
            yield Item(id, one.uri, one.version, one.bytes, metadata, error, one.group)

    def _metadata(self, found: Found, row: dict[str, Any] | None) -> dict[str, Any]:
        self._items += 1
        metadata: dict[str, Any] = dict(found.known or {})
        if self._parent:
            metadata |= from_parent(found.key)
        if self._pattern is not None:
            groups = from_pattern(found.key, self._pattern)
            self._by_pattern += bool(groups)
            metadata |= groups
        if row is not None:
            self._by_sidecar += 1
            metadata |= row
        if self._uri_key is not None:
            metadata[self._uri_key] = found.uri
        return metadata

    def _names(self, found: Found) -> Names:
        name, id = readable(found.key), self.id(found.key)
        others = (plain(name), plain(self._prefix + name)) if self._prefix else (plain(name),)
        return Names((name,) if name == id else (name, id), others)

    def remarks(self) -> list[str]:
        """Return lines on a pattern or sidecar that matches few items since `begin`, and on rows without an item."""
        remarks = []
        if self._pattern is not None and self._by_pattern < max(1, FEW * self._items):
            remarks.append(f"the regex in `source.metadata` matches {self._of_items(self._by_pattern)}")
        if self.sidecar is not None:
            if self._by_sidecar < max(1, FEW * self._items):
                remarks.append(f"{self.sidecar.name} has rows for {self._of_items(self._by_sidecar)}")
            if missing := self.sidecar.rows - self.sidecar.matched:
                names = ", ".join(map(repr, self.sidecar.unmatched(3)))
                remarks.append(
                    f"{self.sidecar.name}: {missing:,} of its {self.sidecar.rows:,} rows match no item: {names}"
                    + (", …" if missing > 3 else "")
                )
        return remarks

    def _of_items(self, count: int) -> str:
        return f"{count:,} of the {self._items:,} items" if count else f"none of the {self._items:,} items"


def from_parent(key: str) -> dict[str, str]:
    """Return `label`, the name of the folder that holds the item; nothing for an item at the root."""
    parent = PurePosixPath(key).parent.name
    return {"label": readable(parent)} if parent else {}


def from_pattern(key: str, pattern: re.Pattern[str]) -> dict[str, str]:
    """Return the named groups of `pattern` that took part in its first match within `key`."""
    match = pattern.search(readable(key))
    return {name: value for name, value in match.groupdict().items() if value is not None} if match else {}


def clean(metadata: Mapping[str, Any], id: str = "") -> str:
    """Return `metadata` as canonical JSON text, sorted by name, without nulls and NaN, and with lists as lists of text.

    Raises BadMetadataError naming the column and the item `id` where a value can't go into an index, or where the JSON
    has more than 40,960 bytes, and ConfigError where a name can't.
    """
    kept: dict[str, str | float | bool | list[str]] = {}
    for name, raw in metadata.items():
        if not isinstance(name, str) or not name or name.startswith("$"):
            raise ConfigError(
                f"metadata of item {id!r}, column {name!r}: its name must be a text, not empty and not starting with"
                " `$`; rename it"
            )
        try:
            value = _value(raw)
        except _UnfitError as error:
            raise BadMetadataError(f"metadata of item {id!r}, column {name!r}: {error}") from None
        if value is not None:
            kept[name] = value
    text = _CANONICAL.encode(kept)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise BadMetadataError(f"metadata of item {id!r} is no valid Unicode: {text!a}") from None
    if size > MAX_METADATA_BYTES:
        raise BadMetadataError(
            f"metadata of item {id!r} has {size:,} bytes of JSON, and an index takes {MAX_METADATA_BYTES:,}; "
            "leave out its largest columns"
        )
    return text


class _UnfitError(Exception):
    """A value that no index takes."""


def _value(value: Any) -> str | float | bool | list[str] | None:
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        # As text, integers may be as large as they like.
        elements = [str(one) if type(one) is int else _scalar(one) for one in value]
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
