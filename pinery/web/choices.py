"""Filters that clicks make: values of a field that are chosen, and ranges of numbers, within Pinecone's language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Filter = Mapping[str, Any]


def chosen(filter: Filter | None, key: str) -> list[Any]:
    """Return the values of a field that a filter takes, where it names them."""
    condition = (filter or {}).get(key)
    if isinstance(condition, dict):
        if set(condition) == {"$in"}:
            return list(condition["$in"])
        return [condition["$eq"]] if set(condition) == {"$eq"} else []
    return [] if condition is None or isinstance(condition, list) else [condition]


def toggled(filter: Filter | None, key: str, value: Any) -> dict[str, Any]:
    """Return a filter that takes one more value of a field, or one less if it took that."""
    taken = chosen(filter, key)
    same = [one for one in taken if one == value and isinstance(one, bool) == isinstance(value, bool)]
    values = [one for one in taken if one not in same] if same else [*taken, value]
    return _with(filter, key, {"$in": values} if values else None, understood=bool(taken))


def bounds(filter: Filter | None, key: str) -> tuple[float | None, float | None]:
    """Return the least and the most value of a field that a filter takes; None where it has no bound."""
    condition = (filter or {}).get(key)
    if not isinstance(condition, dict) or not set(condition) <= {"$gte", "$lte"}:
        return None, None
    return condition.get("$gte"), condition.get("$lte")


def ranged(filter: Filter | None, key: str, low: float | None, high: float | None) -> dict[str, Any]:
    """Return a filter with these bounds on a field, in the place of those that it had."""
    wanted = {name: value for name, value in (("$gte", low), ("$lte", high)) if value is not None}
    return _with(filter, key, wanted or None, understood=bounds(filter, key) != (None, None))


def without(filter: Filter | None, key: str) -> dict[str, Any]:
    """Return a filter without its choice of a field."""
    return {name: one for name, one in (filter or {}).items() if name != key}


def _with(filter: Filter | None, key: str, condition: Any, *, understood: bool) -> dict[str, Any]:
    """Return a filter with another condition on a field; one that no click made is kept beside it."""
    others = without(filter, key)
    if filter and key in filter and not understood:
        return {"$and": [dict(filter), {key: condition}]} if condition else dict(filter)
    return others | ({key: condition} if condition else {})
