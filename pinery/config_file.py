"""Reads a config from YAML or a mapping, applies `--set`, and reports all of its errors at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pinery.config import Config, absolute
from pinery.config_errors import explain
from pinery.errors import ConfigError

PATHS = {("state",), ("source", "path"), ("source", "root"), ("source", "sidecar"), ("model", "weights")}
FOLDER_REFERENCES = ("clip:", "hf:")


def load_config(config: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Config:
    """The config in the YAML file at a path, or an inline mapping, with `dotted.key=value` overrides.

    Relative paths are relative to the file's folder; in overrides, to the working directory; inline, they are errors.
    Raises ConfigError naming every wrong key with its value, what is allowed and the nearest valid key.
    """
    if isinstance(config, Mapping):
        where, data, base = "the inline config", _copied(config), None
    else:
        path = Path(config)
        where, data, base = str(path), _read(path), path.resolve().parent
    for override in overrides:
        _apply(data, override)
    return _validated(_with_absolute_paths(data, base), where)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no config file {path}; give the path of a YAML file, such as configs/sample.yaml"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read the config file {path}: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds {type(data).__name__}, not a mapping of keys; see configs/sample.yaml")
    return data


def _apply(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set {override!r} is not of the form dotted.key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    *parents, last = key.split(".")
    if (*parents, last) in PATHS and isinstance(value, str):
        value = absolute(value, Path.cwd())
    if (*parents, last) in (("model",), ("model", "name")) and isinstance(value, str):
        value = _reference(value, Path.cwd())
    node = data
    for parent in parents:
        child = node.get(parent)
        if parent == "model" and isinstance(child, str):
            child = {"name": child}
        node[parent] = child = child if isinstance(child, dict) else {}
        node = child
    node[last] = value


def _with_absolute_paths(data: dict[str, Any], base: Path | None) -> dict[str, Any]:
    for *parents, last in PATHS:
        node: Any = data
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if isinstance(node, dict) and isinstance(node.get(last), str):
            if base is None and "://" not in node[last] and not Path(node[last]).expanduser().is_absolute():
                key = ".".join([*parents, last])
                raise ConfigError(
                    f"the inline config has a relative path, {key} = {node[last]!r}; give an absolute one"
                )
            node[last] = absolute(node[last], base or Path("/"))
    model = data.get("model")
    if base is not None and isinstance(model, str):
        data["model"] = _reference(model, base)
    elif base is not None and isinstance(model, dict) and isinstance(model.get("name"), str):
        model["name"] = _reference(model["name"], base)
    return data


def _reference(name: str, base: Path) -> str:
    for prefix in FOLDER_REFERENCES:
        if name.startswith((f"{prefix}./", f"{prefix}../", f"{prefix}~")):
            return prefix + absolute(name.removeprefix(prefix), base)
    return name


def _validated(data: dict[str, Any], where: str) -> Config:
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        lines = [f"  {line}" for line in explain(error)]
        count = "1 error" if len(lines) == 1 else f"{len(lines)} errors"
        raise ConfigError(f"{where} has {count}:\n" + "\n".join(lines)) from None


def _copied(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in config.items()}
