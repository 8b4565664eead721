"""The share of time that GPUs compute, as nvidia-smi says it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from statistics import mean

SAMPLE_MILLISECONDS = 1000


class GpuBusy:
    """Samples the utilisation of GPUs until the `with` ends; without nvidia-smi there is nothing to tell."""

    def __init__(self, gpus: Sequence[int], milliseconds: int = SAMPLE_MILLISECONDS) -> None:
        """Sample GPUs by their numbers as CUDA counts them in this process, every so many milliseconds."""
        self._gpus, self._milliseconds = gpus, milliseconds
        self._samples: list[tuple[float, float]] = []
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> GpuBusy:
        query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        command = [*query, f"--id={','.join(_names(self._gpus))}", f"--loop-ms={self._milliseconds}"]
        if self._gpus:
            with contextlib.suppress(OSError):
                self._process = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
                )
        if self._process is not None:
            self._reader = threading.Thread(target=self._read, args=(self._process,), name="gpu-busy", daemon=True)
            self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join()

    def share(self, begin: float = 0.0, end: float = float("inf")) -> float | None:
        """Return the mean share of time that the GPUs were busy between two times since the epoch; None if unknown."""
        seen = [busy for when, busy in self._samples if begin <= when <= end]
        return mean(seen) / 100 if seen else None

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with contextlib.suppress(ValueError):  # it isn't told for a part of a device
                self._samples.append((time.time(), float(line)))


def _names(gpus: Sequence[int]) -> list[str]:
    """The names by which nvidia-smi knows GPUs: CUDA counts only those that are visible to this process."""
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return [visible[gpu] if gpu < len(visible) else str(gpu) for gpu in gpus]
