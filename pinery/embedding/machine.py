"""The kind of machine that a run embeds on: the rates of runs count for machines of the same kind."""

import contextlib
import functools
import os
import platform
import subprocess
from collections import Counter

from pinery.config import Config
from pinery.cores import cores

ASK_SECONDS = 20.0
"""The time that nvidia-smi has to answer, which takes it seconds where no other process uses a GPU."""


def kind_of_machine(config: Config) -> str:
    """Return the kind of the machine in words: its cores, architecture and GPUs, as far as the settings use them."""
    if config.runner.kind == "ray":
        return "a Ray cluster"
    count = cores()
    words = [f"{count} core{'' if count == 1 else 's'} ({platform.machine()})"]
    if config.model.device not in ("cpu", "mps"):
        words += [f"{times} {name}" for name, times in Counter(gpus()).items()]
    return ", ".join(words)


@functools.cache
def gpus() -> tuple[str, ...]:
    """Return the names of the GPUs that this process sees, by nvidia-smi; none without it."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return ()
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    if visible:
        command.append(f"--id={visible}")
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        ended = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=True)
        return tuple(line.strip() for line in ended.stdout.splitlines() if line.strip())
    return ()
