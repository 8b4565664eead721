"""The machine and the versions that a figure was measured with, and the files that keep results."""

import os
import platform
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent.parent / "results"


def machine() -> str:
    """Return the CPU, its cores as this process may use them, the memory and the system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory().total / 2**30
    return f"{_cpu()}, {cores} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"


def versions(*packages: str) -> str:
    """Return Python's version and those of packages."""
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, its first column to the left and all others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def keep(name: str, title: str, packages: Sequence[str], body: str, script: str | None = None) -> None:
    """Print the result and write it to `results/<name>.md`, with machine, versions, date and the command (`script`)."""
    when = datetime.now(UTC).date().isoformat()
    # Results are published, so paths are cut to their names.
    command = " ".join(
        ["python", f"benchmarks/{script or name}.py", *(Path(argument).name for argument in sys.argv[1:])]
    )
    text = f"# {title}\n\n{machine()}; {versions(*packages)}; {when}. Made by `{command}`.\n\n{body}\n"
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")


def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or "unknown CPU"
