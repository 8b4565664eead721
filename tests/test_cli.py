"""The command line from outside: what it imports, how it fails, and that the README knows every command and flag."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from flows.cli import main

ROOT = Path(__file__).parent.parent
SLOW = ("torch", "prefect", "lancedb", "duckdb", "pandas", "pyarrow", "pinecone", "boto3", "transformers", "PIL")
COMMANDS = sorted(main.commands)


def pinery(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The finished command, run as people run it, in the repository's folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PINERY_DEBUG"}
    command = [sys.executable, "-m", "flows.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A config of an empty folder."""
    (tmp_path / "images").mkdir()
    path = tmp_path / "corpus.yaml"
    path.write_text("corpus: things\nsource: {kind: folder, path: images}\nmodel: descriptor\nstate: state\n")
    return str(path)


def flags(command: click.Command) -> list[str]:
    """The long flags of a command."""
    return [name for parameter in command.params for name in parameter.opts if name.startswith("--")]


# Help.


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["search", "-h"]], ids=" ".join)
def test_help_imports_nothing_slow(arguments: list[str]) -> None:
    code = f"""
import sys
from flows.cli import main
try:
    main({arguments!r})
finally:
    print([name for name in {SLOW!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr.strip() == "[]"
    assert "Usage:" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_says_what_it_takes(command: str) -> None:
    done = pinery(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert main.commands[command].help
    shown = set(re.findall(r"--[a-z-]+", done.stdout))
    assert shown >= {*flags(main.commands[command]), "--json"}
    if command != "models":
        assert shown >= {"--set"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_has_each_command_and_flag(command: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"\bpinery {command}\b", readme)
    assert [flag for flag in flags(main.commands[command]) if not re.search(rf"{flag}(?![a-z-])", readme)] == []


def test_the_readme_names_no_command_that_there_is_not() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```.*?```", readme, re.DOTALL) + re.findall(r"`[^`\n]+`", readme))
    assert set(re.findall(r"\bpinery ([a-z]+)\b", code)) <= set(COMMANDS)


# Errors.


@pytest.mark.parametrize("command", ["run", "plan"])
def test_an_unknown_model_is_a_usage_error_that_names_the_nearest(config: str, command: str) -> None:
    done = pinery(command, config, "--set", "model=squeezenet1_1")
    assert done.returncode == 2
    assert "Unknown model 'squeezenet1_1'; did you mean `torchvision:squeezenet1_1`?" in done.stderr


def test_a_missing_config_is_a_usage_error_that_names_one_that_is_there() -> None:
    done = pinery("run", "configs/absent.yaml")
    assert done.returncode == 2
    assert done.stderr.startswith("pinery: there is no config file configs/absent.yaml")
    assert "configs/sample.yaml" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(("filter", "words"), [("{label", "is not JSON"), ('["label"]', "takes a JSON object")])
def test_a_filter_that_is_none_is_a_usage_error(config: str, filter: str, words: str) -> None:
    done = pinery("search", config, "--id", "a", "--filter", filter)
    assert done.returncode == 2
    assert filter in done.stderr
    assert words in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "{config}", "--limit", "0"],
        ["run"],
        ["fly"],
        ["run", "{config}", "--fast"],
        ["run", "{config}", "--set", "x"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2_and_no_stack_trace(config: str, arguments: list[str]) -> None:
    done = pinery(*(argument.format(config=config) for argument in arguments))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["run", "configs/absent.yaml"], 2, "there is no config file"),
        (["plan", "{config}", "--set", "sauce.kind=folder"], 2, "did you mean `source`?"),
        (["search", "{config}", "--id", "a", "--filter", "{{"], 2, "is not JSON"),
        (["search", "{config}", "--id", "a"], 2, "pinery run"),
        (["upsert", "{config}", "--set", "state=s3://bucket/x", "--set", "index.kind=pine"], 2, "pine"),
    ],
    ids=lambda value: " ".join(value[:1]) if isinstance(value, list) else "",
)
def test_with_json_an_error_is_one_object_on_stdout(config: str, arguments: list[str], code: int, words: str) -> None:
    done = pinery(*(argument.format(config=config) for argument in arguments), "--json")
    assert done.returncode == code
    found = json.loads(done.stdout)
    assert set(found) == {"error", "exit_code"}
    assert found["exit_code"] == code
    assert words in found["error"]
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_with_json_a_result_is_one_object_on_stdout(config: str) -> None:
    assert json.loads(pinery("models", "--json").stdout)["models"]
    found = json.loads(pinery("status", config, "--json").stdout)
    assert (found["corpus"], found["last_run"]) == ("things", None)
