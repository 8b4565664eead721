"""The pages: each promise of README names its tests, each link leads somewhere, and the installation is as it says."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROMISES = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
PAGES = sorted(
    path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "data/README.md"]
)
PROMISING = ("A config", "Commands", "From Pinecone's examples", "What happens on a bad night")
"""The sections of README whose tables promise something, row by row."""


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of each row of the tables below a heading, without their heads."""
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    tables = re.findall(r"(?:^\|.*\n?)+", section, re.MULTILINE)
    lines = [line for table in tables for line in table.strip().splitlines()[2:]]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def names_of_tests() -> list[str]:
    """Each test that docs/promises.md names, as `path::name` or `path`."""
    return sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", PROMISES)))


@pytest.mark.parametrize("heading", PROMISING)
def test_each_row_of_the_readmes_tables_names_the_tests_that_catch_its_breach(heading: str) -> None:
    promised = [row[0] for row in rows(README, heading)]
    kept = [row[0] for row in rows(PROMISES, heading)]
    assert promised
    assert [promise for promise in promised if promise not in kept] == [], "name their tests in docs/promises.md"


def test_each_promise_names_a_test() -> None:
    headings = re.findall(r"^## (.*)$", PROMISES, re.MULTILINE)
    assert set(PROMISING) <= set(headings)
    nameless = [row[0] for heading in headings for row in rows(PROMISES, heading) if "`tests/" not in row[1]]
    assert nameless == []


@pytest.mark.parametrize("test", names_of_tests())
def test_each_test_that_a_promise_names_is_there(test: str) -> None:
    path, _, name = test.partition("::")
    functions = [node for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)]
    found = [function.name for function in functions if function.name.startswith("test_")]
    assert name in found if name else found


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_each_link_of_a_page_leads_to_a_file(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (ROOT / page.parent / link).exists()] == []


def test_the_readme_says_what_it_is_and_for_whom_before_anything_else_and_links_the_keys_before_the_proof() -> None:
    places = [README.index(text) for text in ("keeps a Pinecone index true", "**For whom.**", "**Why not a loop?**")]
    places += [README.index(text) for text in ("instead of Pinery", "make demo", "docs/config.md", "docs/drills.md")]
    assert places == sorted(places)


@pytest.mark.parametrize(("index", "asked"), [("", False), ("https://example.org/cpu", True)])
def test_torch_is_taken_from_another_index_only_where_one_is_named(index: str, asked: bool, tmp_path: Path) -> None:
    command = ["make", "--dry-run", "demo", f"VENV={tmp_path / 'venv'}", f"TORCH_INDEX={index}"]
    planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    lines = planned.splitlines()
    assert any("--index-url https://example.org/cpu" in line for line in lines) == asked
    [pinery] = [line for line in lines if "--editable" in line]
    assert "--constraint requirements.lock" in pinery


def test_make_serve_runs_the_sample_and_serves_it(tmp_path: Path) -> None:
    command = ["make", "--dry-run", "serve", f"VENV={tmp_path / 'venv'}"]
    planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    done = [line.rsplit("/pinery ", 1)[-1] for line in planned.splitlines() if "/bin/pinery " in line]
    assert done == ["run configs/sample.yaml", "serve configs/sample.yaml"]
