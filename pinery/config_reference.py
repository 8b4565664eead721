"""Writes the reference of the config's keys, and the schema for editors, both from the settings.

python -m pinery.config_reference [FOLDER]      (default: docs; `make docs` runs it)
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pinery.config import Config

PAGE, SCHEMA = "config.md", "config.schema.json"
INTRODUCTION = """# Config keys

A config is one YAML file: one corpus, its source, model, index and state. `--set run.part_rows=1000` overrides a key
by its dotted name. Relative paths count from the config's folder; on the command line, from the working directory.
Secrets have no keys: they come from the environment.

Editors that know YAML schemas complete and check the keys where a config's first line is
`# yaml-language-server: $schema=../docs/config.schema.json`. `make docs` writes this page and that schema from
the settings in the code.
"""

Node = dict[str, Any]


def main() -> None:
    """Write both files into the folder that the command line names."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    (folder / PAGE).write_text(page(), encoding="utf-8")
    (folder / SCHEMA).write_text(schema(), encoding="utf-8")


def schema() -> str:
    """Return the JSON schema of a config, as text."""
    found: Node = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | Config.model_json_schema()
    return json.dumps(_for_editors(found) | {"title": "Pinery config"}, indent=1) + "\n"


def page() -> str:
    """Return the reference as Markdown: a table for each group of keys."""
    found = Config.model_json_schema()
    parts = [INTRODUCTION]
    for heading, before, node in groups_of(found):
        kind_first = sorted(node["properties"].items(), key=lambda item: item[0] != "kind")
        rows = [_row(before + name, child, name in node.get("required", []), found) for name, child in kind_first]
        table = ["| key | default | takes | unit | |", "|---|---|---|---|---|", *rows]
        parts.append(f"## {heading}\n\n{node['description']}\n\n" + "\n".join(table) + "\n")
    return "\n".join(parts)


def groups_of(found: Node) -> Iterator[tuple[str, str, Node]]:
    """Yield the heading, the prefix of the keys and the schema of each group; each kind has a group of its own."""
    yield "The config", "", found
    for name, child in found["properties"].items():
        references = _references(child)
        for reference in references:
            group = found["$defs"][reference]
            kind = group["properties"].get("kind", {}).get("const") if len(references) > 1 else None
            yield f"`{name}`" + (f", kind `{kind}`" if kind else ""), f"{name}.", group


def _references(node: Node) -> list[str]:
    alternatives = [node, *node.get("oneOf", []), *node.get("anyOf", [])]
    return [one["$ref"].rpartition("/")[2] for one in alternatives if "$ref" in one]


def _row(name: str, node: Node, required: bool, found: Node) -> str:
    # Pydantic leaves out a description that its group has too.
    about = node.get("description") or found["$defs"][_references(node)[0]]["description"]
    cells = (f"`{name}`", _default(node, required), takes(node), unit(node), about)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(node: Node, required: bool) -> str:
    value = node.get("default")
    if required:
        return "required"
    if "shown" in node:
        return str(node["shown"])
    if isinstance(value, dict):
        return f"`{{kind: {value['kind']}}}`" if "oneOf" in node else "those below"
    if isinstance(value, list):
        return " ".join(f"`{one}`" for one in value) or "none"
    return "none" if value is None else f"`{json.dumps(value)}`".replace('"', "")


def takes(node: Node) -> str:
    """Return in words which values a key takes."""
    if "$ref" in node or "oneOf" in node:
        return "keys, see below"
    if "anyOf" in node:
        return " or ".join(takes(one) for one in node["anyOf"] if one.get("type") != "null")
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return ", ".join(f"`{one}`" for one in node["enum"])
    kind = node.get("type")
    if kind == "array":
        return f"a list of {takes(node['items'])}"
    if kind in ("integer", "number"):
        return _number(node, "whole number" if kind == "integer" else "number")
    return "`true`, `false`" if kind == "boolean" else _text(node)


def _number(node: Node, kind: str) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if "exclusiveMinimum" in node:
        return f"{kind} above {node['exclusiveMinimum']:,}"
    if high is not None:
        return f"{kind}, {low:,} to {high:,}"
    return kind if low is None else f"{kind}, {low:,} or more"


def _text(node: Node) -> str:
    longest = f" of at most {node['maxLength']} characters" if "maxLength" in node else ""
    pattern = f" that matches `{node['pattern']}`" if "pattern" in node else ""
    return f"text{longest}{pattern}"


def unit(node: Node) -> str:
    """Return the unit of a key's number, or an empty string where it has none."""
    return next((str(one["unit"]) for one in [node, *node.get("anyOf", [])] if "unit" in one), "")


def _for_editors(node: Any) -> Any:
    """Return the schema with each unit in its description, and without what editors don't use."""
    if isinstance(node, list):
        return [_for_editors(one) for one in node]
    if not isinstance(node, dict):
        return node
    left_out = {"discriminator", "unit", "shown"} | ({"default"} if "shown" in node else set())
    found = {name: _for_editors(one) for name, one in node.items() if name not in left_out}
    if isinstance(found.get("title"), str):
        del found["title"]
    if "description" in node and isinstance(node["description"], str) and unit(node):
        found["description"] = f"{node['description']} Unit: {unit(node)}."
    return found


if __name__ == "__main__":
    main()
