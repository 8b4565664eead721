"""The wheel takes no top-level name but `pinery`, and runs beside a project with `flows` and `tasks` of its own."""

import ast
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.corpora import config
from tests.processes import write_config

ROOT = Path(__file__).parent.parent
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as `pip install .` builds it, without fetching anything."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, timeout=240)
    [built] = folder.glob("pinery-*.whl")
    return built


@pytest.fixture(scope="module")
def project(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with packages `flows` and `tasks` of its own, and the wheel installed beside them."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("flows", "tasks"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("WHOSE = 'the project'\n")
    command = [*PIP, "install", "--no-deps", "--target", str(folder / "installed"), str(wheel)]
    subprocess.run(command, check=True, timeout=240)
    return folder


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command in the project; it finds the wheel and the project's packages before this repository's."""
    paths = os.pathsep.join([str(project / "installed"), str(project)])
    environment = os.environ | {"PYTHONPATH": paths, "PREFECT_API_URL": ""}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=240)


def test_the_wheel_takes_no_top_level_name_but_its_own(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"pinery"}
    assert "pinery/py.typed" in names
    for tree in ("pinery", "flows", "tasks"):
        below = "pinery" if tree == "pinery" else f"pinery/_{tree}"
        sources = {path.relative_to(ROOT / tree).as_posix() for path in (ROOT / tree).rglob("*.py")}
        assert {f"{below}/{source}" for source in sources} <= set(names)


def test_nothing_in_the_wheel_imports_or_names_what_is_not_in_it(wheel: Path) -> None:
    found = []
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith(".py"):
                found += [f"{name}: {module}" for module in modules_named(archive.read(name).decode())]
    assert [line for line in found if re.search(r": (flows|tasks)\b", line)] == []


def modules_named(source: str) -> list[str]:
    """Each module that a file imports, and each text in it that looks like a dotted name."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "")
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and re.match(r"\w+[./][\w./:]*$", node.value)
        ):
            found.append(node.value)
    return found


def test_the_command_starts_beside_a_project_with_flows_and_tasks_of_its_own(project: Path) -> None:
    ended = run(project, str(project / "installed" / "bin" / "pinery"), "--version")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("pinery, version ")


def test_every_flow_loads_from_its_entrypoint_and_leaves_the_projects_packages_alone(project: Path) -> None:
    code = """
import flows, pkgutil, importlib, tasks
import pinery, pinery._flows, pinery._tasks
from prefect.flows import load_flow_from_entrypoint
for package in (pinery._flows, pinery._tasks):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
print(*[load_flow_from_entrypoint(f"pinery._flows.{name}.{name}").name for name in ("reindex", "upsert", "verify")])
print(flows.WHOSE, tasks.WHOSE, "installed" in pinery.__file__)
"""
    ended = run(project, sys.executable, "-c", code)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["reindex upsert verify", "the project the project True"]


@pytest.mark.slow
def test_a_run_from_the_wheel(project: Path, images: Path, tmp_path: Path) -> None:
    path = write_config(tmp_path / "config.yaml", config(images, tmp_path / "state"))
    ended = run(project, str(project / "installed" / "bin" / "pinery"), "run", str(path))
    assert ended.returncode == 0, ended.stderr
    assert "12 rows, verified" in ended.stdout
