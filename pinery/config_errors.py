"""Says what is wrong with a config: for each key once, its value, what it takes and the nearest valid key or value."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from pinery.addresses import is_secret_name, shown
from pinery.config import Config
from pinery.config_reference import Node, groups_of, takes, unit

NEAR, NEAR_ELSEWHERE = 0.6, 0.75
"""The similarity (difflib's ratio) from which a wrong key means a key of its own group, or one of another group."""
NOT_KEYS = ("model_type", "model_attributes_type", "dict_type")
NOT_A_NUMBER = ("int_parsing", "int_type", "int_from_float", "float_parsing", "float_type", "bool_parsing", "bool_type")


def explain(error: ValidationError) -> list[str]:
    """Return one line for each key that is wrong, in the order of the config's keys."""
    known, found = _known_keys(), dict[str, list[ErrorDetails]]()
    for detail in error.errors(include_url=False):
        found.setdefault(_dotted(detail, known), []).append(detail)
    return [f"{key}{_line(key, details, known)}".removeprefix(": ") for key, details in found.items()]


def _known_keys() -> dict[str, list[tuple[str, Node]]]:
    """Return each key by its dotted name, with the kinds of source or index that have it (else "") and its schema."""
    schema = Config.model_json_schema()
    known: dict[str, list[tuple[str, Node]]] = {}
    for _, before, group in groups_of(schema):
        kind = group["properties"].get("kind", {}).get("const", "")
        for name, node in group["properties"].items():
            known.setdefault(before + name, []).append((kind, node))
    return known


def _dotted(detail: ErrorDetails, known: dict[str, list[tuple[str, Node]]]) -> str:
    """Return the key that an error is about, without the kind or type that pydantic may add to it."""
    first, *rest = [str(part) for part in detail["loc"]] or [""]
    kinds = {kind for kind, _ in known.get(f"{first}.kind", [])}
    rest = rest[1:] if rest and rest[0] in kinds else rest
    if detail["type"].startswith("union_tag"):
        return f"{first}.kind"
    if rest and f"{first}.{rest[0]}" not in known and detail["type"] != "extra_forbidden":
        return first
    key = ".".join([first, *rest[:1]])
    names_are_free = any("additionalProperties" in node for _, node in known.get(key, []))
    return f"{key}.{rest[1]}" if names_are_free and len(rest) > 1 else key


def _line(key: str, details: Sequence[ErrorDetails], known: dict[str, list[tuple[str, Node]]]) -> str:
    detail, value = details[0], shown(details[0]["input"])
    if detail["type"] == "extra_forbidden":
        if is_secret_name(key.rpartition(".")[2]):
            return ": no such key; configs hold no secrets, these come from the environment"
        kind = str(detail["loc"][1]) if len(detail["loc"]) > 2 else ""
        return f": no such key (value {value!r}); {_other_key(key, kind, known)}"
    if detail["type"] in ("missing", "union_tag_not_found"):
        return ": is missing" + _choice(known.get(key, []))
    if detail["type"] == "union_tag_invalid":
        value, expected = detail["ctx"]["tag"], [kind for kind, _ in known[key]]
        return f": input should be {_or(f'{kind!r}' for kind in expected)} (value {value!r}){_nearest(value, expected)}"
    if detail["type"] in NOT_KEYS:
        return _not_keys(key, value, known)
    if len(details) > 1 or detail["type"] in NOT_A_NUMBER:
        node = known[key][0][1]
        return f": input should be {takes(node)}{f' ({unit(node)})' if unit(node) else ''} (value {value!r})"
    message = detail["msg"].removeprefix("Value error, ")
    allowed = known[key][0][1].get("enum", []) if key in known else []
    return f": {message[0].lower()}{message[1:]} (value {value!r}){_nearest(value, allowed)}"


def _not_keys(key: str, value: Any, known: dict[str, list[tuple[str, Node]]]) -> str:
    inner = [name for name in known if name.startswith(f"{key}.")]
    kinds = [kind for kind, _ in known.get(f"{key}.kind", []) if kind]
    near = difflib.get_close_matches(str(value), kinds, n=1, cutoff=NEAR)
    hint = f"; did you mean `{key}.kind={near[0]}`?" if near else f", such as `{inner[0]}`" if inner else ""
    return f": takes keys of its own, not a value (value {value!r}){hint}"


def _other_key(key: str, kind: str, known: dict[str, list[tuple[str, Node]]]) -> str:
    group, _, name = key.rpartition(".")
    if key in known:
        return f"`{key}` belongs to kind {_or(f'`{other}`' for other, _ in known[key])}, and the kind is `{kind}`"
    here = [one.rpartition(".")[2] for one in known if one.rpartition(".")[0] == group]
    elsewhere = [one for one in known if one.rpartition(".")[2] == name]
    near = difflib.get_close_matches(name, here, n=1, cutoff=NEAR)
    if not elsewhere and not near:
        names = difflib.get_close_matches(name, {one.rpartition(".")[2] for one in known}, n=1, cutoff=NEAR_ELSEWHERE)
        elsewhere = [one for one in known if one.rpartition(".")[2] in names]
    if elsewhere or near:
        return f"did you mean {_or(f'`{one}`' for one in elsewhere or near)}?"
    return f"allowed: {', '.join(sorted(here))}"


def _choice(found: Sequence[tuple[str, Node]]) -> str:
    kinds = [kind for kind, node in found if kind and node.get("const") == kind]
    return f"; it is {_or(f'`{kind}`' for kind in kinds)}" if kinds else ""


def _nearest(value: Any, allowed: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(value), [str(one) for one in allowed], n=1, cutoff=NEAR)
    return f"; did you mean `{near[0]}`?" if near else ""


def _or(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
