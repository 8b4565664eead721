"""The house rules of ARCHITECTURE.md: which file may import which, and what no file may do; each breach by its line."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TREES = ("pinery", "flows", "tasks")

FORBIDDEN = {"pinery": {"prefect", "flows", "tasks"}, "tasks": {"flows"}, "flows": set[str]()}
"""Modules that no file of a tree imports."""
SHARED = {
    "records", "reports", "errors", "config", "config_errors", "config_file", "config_reference", "addresses",
    "variables", "duckdb_files", "download", "prices", "s3", "settings", "run_settings", "target_settings",
    "source_kinds", "planning", "parquet", "allocator", "clock", "cores", "durable",
}  # fmt: skip
"""Modules that every room may use."""
USES_EVERY_ROOM = {"steps", "search", "web", "api"}
DOORS = {"web", "api"}
"""What may use both `steps` and `search`: the page, which shows status beside hits, and the door for Python programs.
Nothing in the house goes through them but the command line and `import pinery`."""
ALSO_USES = {
    "__init__": {"api"},
    "models": {"imaging"},
    "embedding": {"models", "imaging", "sources"},
    "corpus": {"checkpoint", "sources", "models", "indexes"},
}
IMPURE = {"torch", "pinecone", "boto3", "lancedb", "time", "os", "requests"}
"""Modules that planning must not import, because it is pure."""


def breaches(root: Path) -> list[str]:
    """Every breach under `root`, as `path:line: what is wrong`."""
    found = []
    for tree in TREES:
        for path in sorted((root / tree).rglob("*.py")):
            where = path.relative_to(root)
            parsed = ast.parse(path.read_text(encoding="utf-8"), filename=str(where))
            found += [f"{where}:{line}: {why}" for line, why in _breaches_of(where, parsed)]
    return found


def _breaches_of(where: Path, parsed: ast.Module) -> Iterator[tuple[int, str]]:
    tree, package = where.parts[0], ".".join(where.with_suffix("").parts[:-1])
    if where.stem in ("utils", "util", "helpers", "misc"):
        yield 1, f"a file named {where.stem} says nothing of what it holds"
    if tree == "flows" and _defines_a_flow(parsed) and (line := _line_of_postponed_annotations(parsed)):
        yield line, "Prefect can't read the types of a flow's parameters from postponed annotations"
    for line, name in _imports(parsed, package):
        why = _why_not(where, name)
        if why:
            yield line, f"imports {name}: {why}"


def _why_not(where: Path, name: str) -> str | None:
    tree, target = where.parts[0], name.split(".")
    if target[0] in FORBIDDEN[tree]:
        return f"{tree} may not import {target[0]}"
    if tree != "pinery":
        return None
    room = Path(where.parts[1]).stem
    if room == "planning" and target[0] in IMPURE:
        return "planning is pure"
    if target[0] != "pinery" or len(target) == 1:
        return None
    if room in USES_EVERY_ROOM:
        others = DOORS if room in DOORS else USES_EVERY_ROOM
        return f"{room} may not use {target[1]}" if target[1] in others - {room} else None
    allowed = {room} | SHARED | ALSO_USES.get(room, set())
    return None if target[1] in allowed else f"{room} may not use {target[1]}"


def _imports(parsed: ast.Module, package: str) -> Iterator[tuple[int, str]]:
    """Each imported module with its line, deferred imports and those for types included."""
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).strip(".")
            if base == "pinery" or node.level:
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, base
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((node.lineno, str(one.value)) for one in node.args if isinstance(one, ast.Constant))


def _defines_a_flow(parsed: ast.Module) -> bool:
    functions = [node for node in ast.walk(parsed) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    names = [ast.unparse(decorator).split("(")[0] for function in functions for decorator in function.decorator_list]
    return any(name.split(".")[-1] == "flow" for name in names)


def _line_of_postponed_annotations(parsed: ast.Module) -> int | None:
    for node in parsed.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            return node.lineno
    return None


def test_every_file_keeps_to_its_room() -> None:
    assert breaches(ROOT) == []


MIRRORED = ("checkpoint", "corpus", "steps")
"""The rooms of which each module has a test file of its own, by its name."""
WITHOUT_MIRROR = {"corpus/progress"}
"""A Protocol, and what does nothing."""


def test_each_module_of_a_mirrored_room_has_its_tests() -> None:
    modules, tested = set[str](), set[str]()
    for room in MIRRORED:
        modules |= {f"{room}/{path.stem}" for path in (ROOT / "pinery" / room).glob("[!_]*.py")}
        tested |= {f"{room}/{path.stem.removeprefix('test_')}" for path in (ROOT / "tests" / room).glob("test_*.py")}
    assert sorted(modules - tested) == sorted(WITHOUT_MIRROR)


def test_the_rules_are_judged_over_the_whole_house() -> None:
    rooms = {path.name for path in (ROOT / "pinery").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == {
        "parquet", "planning", "reports", "sources", "imaging", "models", "embedding",
        "checkpoint", "indexes", "corpus", "steps", "search", "web",
    }  # fmt: skip
    assert all(list((ROOT / tree).glob("*.py")) for tree in TREES)


@pytest.mark.parametrize(
    ("path", "code", "expected"),
    [
        ("pinery/records.py", "import json\nimport prefect", "2: imports prefect: pinery may not import prefect"),
        ("pinery/steps/a.py", "from prefect.logging import x", "1: imports prefect.logging"),
        ("pinery/steps/a.py", "def f():\n    from flows import cli", "2: imports flows: pinery may not import flows"),
        ("pinery/search/a.py", "import tasks.compare as v", "1: imports tasks.compare: pinery may not import tasks"),
        ("tasks/a.py", "from flows.reindex import x", "1: imports flows.reindex: tasks may not import flows"),
        (
            "pinery/sources/a.py",
            "from pinery.indexes.lance import x",
            "1: imports pinery.indexes.lance: sources may not",
        ),
        ("pinery/sources/a.py", "from pinery import steps", "1: imports pinery.steps: sources may not use steps"),
        ("pinery/sources/a.py", "from ..steps import run", "1: imports pinery.steps.run: sources may not use steps"),
        ("pinery/sources/a.py", "from .. import steps", "1: imports pinery.steps: sources may not use steps"),
        (
            "pinery/imaging/a.py",
            "import pinery.embedding.runner",
            "1: imports pinery.embedding.runner: imaging",
        ),
        ("pinery/checkpoint/a.py", "from pinery.sources import s3", "1: imports pinery.sources: checkpoint may not"),
        ("pinery/models/a.py", "from pinery.checkpoint import s3_store", "1: imports pinery.checkpoint: models may"),
        ("pinery/records.py", "from pinery.steps import run", "1: imports pinery.steps: records may not use steps"),
        (
            "pinery/indexes/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pinery.models import protocol",
            "3: imports pinery.models: indexes may not use models",
        ),
        (
            "pinery/indexes/a.py",
            "import importlib\nimportlib.import_module('pinery.steps.run')",
            "2: imports pinery.steps",
        ),
        ("pinery/planning/a.py", "import duckdb\nimport time", "2: imports time: planning is pure"),
        ("pinery/planning/a.py", "from os import environ", "1: imports os: planning is pure"),
        ("pinery/planning/a.py", "import torch.nn", "1: imports torch.nn: planning is pure"),
        ("pinery/steps/a.py", "from pinery.search.grid import x", "1: imports pinery.search.grid: steps may not use"),
        ("pinery/search/a.py", "from pinery.steps import run", "1: imports pinery.steps: search may not use steps"),
        ("pinery/search/a.py", "from pinery.api import x", "1: imports pinery.api: search may not use api"),
        ("pinery/corpus/a.py", "from pinery import api", "1: imports pinery.api: corpus may not use api"),
        ("pinery/search/utils.py", "", "1: a file named utils"),
        (
            "flows/a.py",
            "from __future__ import annotations\nfrom prefect import flow\n@flow(name='x')\ndef f(): ...",
            "1: Prefect can't read",
        ),
        (
            "flows/a.py",
            "from __future__ import annotations\nimport prefect\n@prefect.flow\nasync def f(): ...",
            "1: Prefect",
        ),
    ],
)
def test_a_planted_breach_is_found_with_its_line(tmp_path: Path, path: str, code: str, expected: str) -> None:
    _plant(tmp_path, path, code)
    found = breaches(tmp_path)
    assert len(found) == 1
    assert found[0].startswith(f"{path}:{expected}")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("flows/a.py", "from tasks import compare\nfrom pinery.steps import run\nimport prefect"),
        ("flows/a.py", "from __future__ import annotations\ndef f(): ..."),
        ("flows/a.py", "from prefect import flow\n@flow\ndef f(): ..."),
        ("tasks/a.py", "import prefect\nfrom pinery.steps import run"),
        ("pinery/steps/a.py", "from pinery.models import runner\nimport torch, os"),
        ("pinery/api.py", "from pinery.steps import run\nfrom pinery.search import grid"),
        ("pinery/__init__.py", "from pinery.api import x"),
        ("pinery/models/a.py", "from pinery.imaging.decode import decode\nfrom pinery.models import device"),
        ("pinery/indexes/a.py", "from pinery.planning.packing import pack\nfrom pinery import records\nimport time"),
        ("pinery/config_file.py", "from pinery.config import Config\nfrom pinery.errors import ConfigError"),
        ("pinery/planning/a.py", "import duckdb, numpy, pyarrow\nfrom pinery.records import Item"),
    ],
)
def test_what_the_rules_allow_is_no_breach(tmp_path: Path, path: str, code: str) -> None:
    _plant(tmp_path, path, code)
    assert breaches(tmp_path) == []


def _plant(root: Path, path: str, code: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True)
    file.write_text(code)
