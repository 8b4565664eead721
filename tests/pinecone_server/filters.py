"""Pinecone's metadata filter language, compiled to a predicate over one record's metadata."""

from collections.abc import Callable, Mapping
from typing import Any

Predicate = Callable[[Mapping[str, Any]], bool]

MAX_CHOICES = 10_000
_MISSING = object()


class FilterError(ValueError):
    """The filter is not one that Pinecone takes."""


def compile_filter(filter: Any) -> Predicate:
    """The predicate of a filter object; FilterError where it is malformed. `{}` passes all."""
    if not isinstance(filter, dict):
        raise FilterError(f"filter must be an object, got {_kind(filter)}")
    parts = [_compile_entry(key, condition) for key, condition in filter.items()]
    return lambda metadata: all(part(metadata) for part in parts)


def _compile_entry(key: str, condition: Any) -> Predicate:
    if key in ("$and", "$or"):
        if not isinstance(condition, list) or not condition:
            raise FilterError(f"{key} must be a non-empty list of filters")
        parts = [compile_filter(part) for part in condition]
        joined = all if key == "$and" else any
        return lambda metadata: joined(part(metadata) for part in parts)
    if key.startswith("$"):
        raise FilterError(f"{key} is not a valid operator here")
    if not isinstance(condition, dict):
        return _compile_field(key, "$eq", condition)
    if not condition:
        raise FilterError(f"the condition on field '{key}' is empty")
    fields = [_compile_field(key, operator, operand) for operator, operand in condition.items()]
    return lambda metadata: all(part(metadata) for part in fields)


def _compile_field(key: str, operator: str, operand: Any) -> Predicate:
    test = _TESTS.get(operator)
    if test is None:
        raise FilterError(f"{operator} is not a valid operator")
    _check_operand(operator, operand)
    if operator == "$exists":
        return lambda metadata: (key in metadata) == operand

    def passes(metadata: Mapping[str, Any]) -> bool:
        value = metadata.get(key, _MISSING)
        # A record without the field passes no comparison, $ne and $nin included (as the service does since 2024).
        return value is not _MISSING and test(value, operand)

    return passes


def _check_operand(operator: str, operand: Any) -> None:
    if operator in ("$eq", "$ne"):
        valid, wanted = _kind(operand) in ("string", "number", "boolean"), "a string, number or boolean"
    elif operator in ("$in", "$nin"):
        valid = isinstance(operand, list) and all(_kind(one) in ("string", "number", "boolean") for one in operand)
        wanted = "a list of strings, numbers or booleans"
        if valid and len(operand) > MAX_CHOICES:
            raise FilterError(f"{operator} takes at most {MAX_CHOICES} values, got {len(operand)}")
    elif operator == "$exists":
        valid, wanted = isinstance(operand, bool), "a boolean"
    else:
        valid, wanted = _kind(operand) == "number", "a number"
    if not valid:
        raise FilterError(f"the {operator} operator must be followed by {wanted}, got {_kind(operand)}")


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "list" if isinstance(value, list) else "object"


def _equal(value: Any, operand: Any) -> bool:
    if isinstance(value, list):
        return any(_equal(one, operand) for one in value)
    return _kind(value) == _kind(operand) and value == operand


def _in(value: Any, operands: list[Any]) -> bool:
    return any(_equal(value, operand) for operand in operands)


def _ordered(compare: Callable[[float, float], bool]) -> Callable[[Any, Any], bool]:
    return lambda value, operand: _kind(value) == "number" and compare(value, operand)


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": _equal,
    "$ne": lambda value, operand: not _equal(value, operand),
    "$gt": _ordered(lambda value, operand: value > operand),
    "$gte": _ordered(lambda value, operand: value >= operand),
    "$lt": _ordered(lambda value, operand: value < operand),
    "$lte": _ordered(lambda value, operand: value <= operand),
    "$in": _in,
    "$nin": lambda value, operands: not _in(value, operands),
    "$exists": lambda value, operand: True,
}
