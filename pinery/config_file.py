"""Reading of a config from YAML or a mapping, with `--set` applied and all errors reported at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pinery.addresses import secrets_in
from pinery.config import Config, absolute
from pinery.config_errors import explain
from pinery.errors import ConfigError
from pinery.source_kinds import SOURCE_KINDS
from pinery.variables import variable_of

WEIGHTS = ("model", "weights")
SOURCE_PATHS = {("source", key) for row in SOURCE_KINDS for key in row.paths}
PATHS = {("state",), *SOURCE_PATHS, ("source", "sidecar"), WEIGHTS}
FOLDER_REFERENCES = ("clip:", "hf:")


def load_config(config: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Config:
    """Return the config in the YAML file at a path, or in a mapping or its text, with `dotted.key=value` overrides.

    Relative paths are relative to the file's folder; in overrides, to the working directory; in an inline config, they
    are errors. Raises ConfigError where keys are wrong, with the value, what is allowed and the nearest valid key for
    each of them, and where the config holds a secret, which Prefect would keep with each run.
    """
    if isinstance(config, str) and (config.lstrip().startswith("{") or "\n" in config.strip()):
        config = _parsed(config, "the inline config")
    if isinstance(config, Mapping):
        where, data, base = "the inline config", _copied(config), None
    else:
        path = Path(config)
        where, data, base = str(path), _read(path), path.resolve().parent
    for override in overrides:
        _apply(data, override)
    refuse_secrets(data, where)
    return _validated(_with_absolute_paths(data, base), where)


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"there is no config file {path}; give the path of a YAML file, such as configs/sample.yaml"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read the config file {path}: {error}") from None
    return _parsed(text, str(path))


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        data = yaml.safe_load(text)  # JSON is YAML too
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not YAML: {_problem(error)}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{where} holds {type(data).__name__}, not a mapping of keys; see configs/sample.yaml")
    return data


def _problem(error: yaml.YAMLError) -> str:
    """Return the mistake and its place, without the text around it, which may be a secret."""
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f"{said} (line {mark.line + 1}, column {mark.column + 1})" if mark else said


def refuse_secrets(data: Mapping[str, Any], where: str) -> None:
    """Raise ConfigError for the first address with a password or a signature in it."""
    for key in secrets_in(data):
        way = (
            "write `weights: $WEIGHTS_URL` and put the address in that environment variable, or in the Prefect Secret"
            " block weights-url"
            if key == ".".join(WEIGHTS)
            else "credentials come from the environment, as boto3 and Pinecone's SDK take them"
        )
        raise ConfigError(
            f"{where}: {key} has a password or a signature in its address, and configs hold no secrets, for Prefect"
            f" keeps them with each run; {way}"
        )


def _apply(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"the override {override!r} is not of the form dotted.key=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    *parents, last = key.split(".")
    if (*parents, last) in PATHS and isinstance(value, str):
        value = _absolute((*parents, last), value, Path.cwd())
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
    source = data.get("source")
    for row in SOURCE_KINDS:
        if isinstance(source, dict) and source.get("kind") == row.name:
            defaults = {key: row.settings.model_fields[key].default for key in row.paths}
            source |= {key: path for key, path in defaults.items() if key not in source and isinstance(path, str)}
    for *parents, last in PATHS:
        node: Any = data
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if isinstance(node, dict) and isinstance(node.get(last), str):
            node[last] = _absolute((*parents, last), node[last], base)
    model = data.get("model")
    if base is not None and isinstance(model, str):
        data["model"] = _reference(model, base)
    elif base is not None and isinstance(model, dict) and isinstance(model.get("name"), str):
        model["name"] = _reference(model["name"], base)
    return data


def _absolute(key: tuple[str, ...], given: str, base: Path | None) -> str:
    if key == WEIGHTS and variable_of(given):
        return given
    if base is None and "://" not in given and not Path(given).expanduser().is_absolute():
        raise ConfigError(f"the inline config has a relative path, {'.'.join(key)} = {given!r}; give an absolute one")
    return absolute(given, base or Path("/"))


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
