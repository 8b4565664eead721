"""Pinecone's filter language as a Lance SQL predicate over the JSON column `metadata`."""

import json
import math
from collections.abc import Mapping
from typing import Any

from pinery.errors import BadFilterError

COMPARISONS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
DEEPEST = 20
"""The deepest nesting of `$and` and `$or`: Lance's parser takes some fifty nested parentheses."""
OPERATORS = "$eq $ne $gt $gte $lt $lte $in $nin $exists $and $or"


def to_sql(filter: Mapping[str, Any], depth: int = DEEPEST) -> str:
    """Return the SQL predicate for `filter`, whose operators are nested at most `depth` deep.

    Raises BadFilterError where the filter is not valid, for example because it has an unknown operator.
    """
    if not isinstance(filter, Mapping):
        raise BadFilterError(f"filter: {filter!r} is not an object of conditions")
    if depth < 0:
        raise BadFilterError(
            f"filter: $and and $or are nested more than {DEEPEST} deep; the embedded index takes no more"
        )
    return _all([_clause(key, condition, depth) for key, condition in filter.items()])


def _clause(key: Any, condition: Any, depth: int) -> str:
    if not isinstance(key, str):
        raise BadFilterError(f"filter: the key {key!r} is not a text")
    if key in ("$and", "$or"):
        if not isinstance(condition, list) or not condition:
            raise BadFilterError(f"filter: {key} takes a list of filters, not {condition!r}")
        clauses = [to_sql(part, depth - 1) for part in condition]
        return _all(clauses) if key == "$and" else _any(clauses)
    if key.startswith("$"):
        raise BadFilterError(f"filter: unknown operator {key}; allowed: {OPERATORS}")
    if not isinstance(condition, Mapping):
        condition = {"$eq": condition}
    if not condition:
        raise BadFilterError(f"filter: the condition on {key!r} is empty")
    return _all([_comparison(key, operator, value) for operator, value in condition.items()])


def _comparison(key: str, operator: str, value: Any) -> str:
    # Lance can't look for an empty name. No row has one, nor one that begins with `$`, which therefore stands for it.
    name = key.replace("\\", "\\\\").replace('"', '\\"') or "$"
    path = _quoted(f'$."{name}"')
    if operator == "$exists":
        if not isinstance(value, bool):
            raise BadFilterError(f"filter: $exists takes true or false, not {value!r}")
        return f"{'' if value else 'NOT '}json_exists(metadata, {path})"
    if operator in ("$in", "$nin"):
        if not isinstance(value, list):
            raise BadFilterError(f"filter: {operator} takes a list of values, not {value!r}")
        any_of = _any([_equal(path, one) for one in value])
        return any_of if operator == "$in" else _present_and_not(path, any_of)
    if operator == "$eq":
        return _equal(path, value)
    if operator == "$ne":
        return _present_and_not(path, _equal(path, value))
    if operator in COMPARISONS:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadFilterError(f"filter: {operator} takes a number, not {value!r}")
        return f"coalesce({_number(path)} {COMPARISONS[operator]} {_double(value)}, false)"
    raise BadFilterError(f"filter: unknown operator {operator}; allowed: {OPERATORS}")


def _equal(path: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"coalesce(json_extract(metadata, {path}) = '{json.dumps(value)}', false)"
    if isinstance(value, int | float):
        return f"coalesce({_number(path)} = {_double(value)}, false)"
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
        # Lance compares with each element's JSON text, from which it removes the quotes but not the escapes.
        member = f"json_array_contains(metadata, {path}, {_quoted(text[1:-1])})"
        return f"(coalesce(json_extract(metadata, {path}) = {_quoted(text)}, false) OR coalesce({member}, false))"
    raise BadFilterError(f"filter: {value!r} is not a string, a number or a boolean")


def _present_and_not(path: str, clause: str) -> str:
    # As in Pinecone, a row without the key is neither equal nor unequal.
    return f"(json_exists(metadata, {path}) AND NOT {clause})"


def _number(path: str) -> str:
    return f"try_cast(json_extract(metadata, {path}) AS double)"


def _double(value: int | float) -> str:
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise BadFilterError(f"filter: a whole number of {value.bit_length()} bits; an index takes at most 64 bits")
    if not math.isfinite(value):
        raise BadFilterError(f"filter: {value} is not a finite number, and an index takes no others")
    return repr(float(value))


def _quoted(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadFilterError(f"filter: {text!a} is not valid Unicode") from None
    return "'" + text.replace("'", "''") + "'"


def _all(clauses: list[str]) -> str:
    return _joined(" AND ", clauses) if clauses else "true"


def _any(clauses: list[str]) -> str:
    return _joined(" OR ", clauses) if clauses else "false"


def _joined(word: str, clauses: list[str]) -> str:
    # Parentheses that aren't needed are left out, because Lance's parser takes some fifty nested ones at most.
    return clauses[0] if len(clauses) == 1 else f"({word.join(clauses)})"
