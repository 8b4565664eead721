"""Reports as JSON has them."""

from collections.abc import Mapping
from typing import Any


def plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same data as JSON returns it, with lists in place of tuples."""
    return {key: _value(value) for key, value in data.items()}


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain(value)
    return [_value(one) for one in value] if isinstance(value, list | tuple) else value
