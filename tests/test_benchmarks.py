"""The benchmarks, which no other test runs: each imports only what there is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"
SCRIPTS = sorted(BENCHMARKS.rglob("*.py"))


def missing(text: str) -> list[str]:
    """The names that a script imports from Pinery or from other benchmarks and that aren't there, with their lines."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ImportFrom) or (module := _file_of(str(node.module))) is None:
            continue
        names = set(_names(module)) if module.is_file() else set()
        found += [f"{node.lineno}: {node.module}.{one.name}" for one in node.names if one.name not in names]
    return found


def _file_of(module: str) -> Path | None:
    """The file of a module of Pinery or of the benchmarks; None for other packages."""
    first, *_ = parts = module.split(".")
    root = ROOT if first == "pinery" else BENCHMARKS
    if not (root / first).is_dir() and not (root / f"{first}.py").is_file():
        return None
    path = root.joinpath(*parts)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _names(path: Path) -> Iterator[str]:
    """Yield the names that a module defines or imports, and the modules beside an `__init__.py`."""
    if path.name == "__init__.py":
        yield from (one.stem for one in path.parent.iterdir())
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name))
        elif isinstance(node, ast.ImportFrom | ast.Import):
            yield from (one.asname or one.name for one in node.names)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(BENCHMARKS)))
def test_each_benchmark_imports_what_there_is(script: Path) -> None:
    assert missing(script.read_text(encoding="utf-8")) == []


def test_a_name_that_is_gone_is_told_with_its_line() -> None:
    lines = ["import numpy", "from pinery.records import Work, Gone", "from measuring.machine import keep, lost"]
    text = "\n".join([*lines, "from PIL import Image"])
    assert missing(text) == [
        "2: pinery.records.Gone",
        "3: measuring.machine.lost",
    ]
    assert missing("from pinery.nowhere import anything") == ["1: pinery.nowhere.anything"]
