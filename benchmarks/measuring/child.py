"""Contestants of a benchmark as processes of their own."""

import json
import subprocess
from pathlib import Path
from typing import Any

BENCHMARKS = Path(__file__).parent.parent


def child(python: Path, script: str, *arguments: object) -> Any:
    """Return the JSON that a script of `benchmarks/` prints; its failure ends the benchmark."""
    command = [str(python), str(BENCHMARKS / script), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{script} ended with {ended.returncode}:\n{ended.stderr}")
    return json.loads(ended.stdout.strip().splitlines()[-1])
