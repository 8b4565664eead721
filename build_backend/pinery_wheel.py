"""The build backend: setuptools, but for a wheel `flows` and `tasks` are put below `pinery`.

In the repository they stand at the top. Installed there, they would take two names that most Prefect projects have
themselves; so a wheel is built from a copy of the tree in which they are `pinery._flows` and `pinery._tasks`.
An editable install and a source distribution are setuptools' own.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401  # the hooks that stay setuptools' own
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
)

ROOT = Path(__file__).parent.parent
MOVED = ("flows", "tasks")
SCRIPT = '"flows.cli.commands:main"'
IMPORT = re.compile(rf"^(\s*(?:from|import)\s+)({'|'.join(MOVED)})\b", re.MULTILINE)


def build_wheel(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel in `wheel_directory` and return its file name (PEP 517)."""
    del metadata_directory  # none is prepared: pip reads the wheel's own
    target = str(Path(wheel_directory).resolve())
    with tempfile.TemporaryDirectory(prefix="pinery-wheel-") as folder:
        arrange(ROOT, Path(folder))
        with contextlib.chdir(folder):
            return str(build_meta.build_wheel(target, config_settings))


def arrange(root: Path, copy: Path) -> None:
    """Copy the tree at `root` to `copy` as the wheel has it."""
    without_caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "pinery", copy / "pinery", ignore=without_caches)
    for name in MOVED:
        shutil.copytree(root / name, copy / "pinery" / f"_{name}", ignore=without_caches)
        for path in (copy / "pinery" / f"_{name}").rglob("*.py"):
            path.write_text(IMPORT.sub(r"\1pinery._\2", path.read_text(encoding="utf-8")), encoding="utf-8")
    for name in ("README.md", "LICENSE"):
        shutil.copyfile(root / name, copy / name)
    settings = (root / "pyproject.toml").read_text(encoding="utf-8")
    if SCRIPT not in settings:
        raise SystemExit(f"pyproject.toml has no script {SCRIPT}, which a wheel starts below pinery; mend {__file__}")
    settings = settings.replace(SCRIPT, SCRIPT.replace("flows", "pinery._flows"))
    (copy / "pyproject.toml").write_text(settings, encoding="utf-8")
