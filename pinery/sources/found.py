"""An image that a source found, before it is an item with an id and cleaned metadata."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Found:
    """One image that a source found."""

    key: str
    uri: str
    version: str
    bytes: int
    known: Mapping[str, Any] | None = None
    """The metadata that the source knows, such as a label."""
    group: str | None = None
    """See Item."""
    unread: str = ""
    """The reason why it can't be read now, which is counted, such as `archived (GLACIER)`; empty if it can be read."""
