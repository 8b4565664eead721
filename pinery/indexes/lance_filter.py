"""Pinecone's filter language as a Lance SQL predicate over the JSON column `metadata`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pinery.errors import ConfigError

COMPARISONS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
OPERATORS = "$eq $ne $gt $gte $lt $lte $in $nin $exists $and $or"


def to_sql(filter: Mapping[str, Any]) -> str:
    """The SQL predicate of `filter`. Raises ConfigError for an unknown operator or a value of the wrong type."""
    clauses = [_clause(key, condition) for key, condition in filter.items()]
    return _all(clauses)


def _clause(key: str, condition: Any) -> str:
    if key in ("$and", "$or"):
        if not isinstance(condition, list) or not condition:
            raise ConfigError(f"filter: {key} takes a list of filters, not {condition!r}")
        clauses = [to_sql(part) for part in condition]
        return _all(clauses) if key == "$and" else f"({' OR '.join(clauses)})"
    if key.startswith("$"):
        raise ConfigError(f"filter: unknown operator {key}; allowed: {OPERATORS}")
    if not isinstance(condition, Mapping):
        condition = {"$eq": condition}
    if not condition:
        raise ConfigError(f"filter: the condition on {key!r} is empty")
    return _all([_comparison(key, operator, value) for operator, value in condition.items()])


def _comparison(key: str, operator: str, value: Any) -> str:
    path = _quoted('$."' + key.replace("\\", "\\\\").replace('"', '\\"') + '"')
    if operator == "$exists":
        if not isinstance(value, bool):
            raise ConfigError(f"filter: $exists takes true or false, not {value!r}")
        return f"{'' if value else 'NOT '}json_exists(metadata, {path})"
    if operator in ("$in", "$nin"):
        if not isinstance(value, list):
            raise ConfigError(f"filter: {operator} takes a list of values, not {value!r}")
        any_of = f"({' OR '.join(_equal(path, one) for one in value)})" if value else "false"
        return any_of if operator == "$in" else _present_and_not(path, any_of)
    if operator == "$eq":
        return _equal(path, value)
    if operator == "$ne":
        return _present_and_not(path, _equal(path, value))
    if operator in COMPARISONS:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"filter: {operator} takes a number, not {value!r}")
        return f"coalesce({_number(path)} {COMPARISONS[operator]} {float(value)!r}, false)"
    raise ConfigError(f"filter: unknown operator {operator}; allowed: {OPERATORS}")


def _equal(path: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"coalesce(json_extract(metadata, {path}) = '{json.dumps(value)}', false)"
    if isinstance(value, int | float):
        return f"coalesce({_number(path)} = {float(value)!r}, false)"
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        # Lance compares with an element as JSON, its quotes taken off but its escapes left.
        member = f"json_array_contains(metadata, {path}, {_quoted(text[1:-1])})"
        return f"(coalesce(json_extract(metadata, {path}) = {_quoted(text)}, false) OR coalesce({member}, false))"
    raise ConfigError(f"filter: {value!r} is not a string, a number or a boolean")


def _present_and_not(path: str, clause: str) -> str:
    # As Pinecone does: a row without the key is neither equal nor unequal.
    return f"(json_exists(metadata, {path}) AND NOT {clause})"


def _number(path: str) -> str:
    return f"try_cast(json_extract(metadata, {path}) AS double)"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _all(clauses: list[str]) -> str:
    return f"({' AND '.join(clauses)})" if clauses else "true"
