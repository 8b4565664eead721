"""The load of a CUDA device, as nvidia-smi reports it."""

from __future__ import annotations

import contextlib
import math
import subprocess
import threading
import time
from statistics import mean

SAMPLE_MILLISECONDS = 100


class Busy:
    """Samples how busy the device is, until the `with` ends."""

    def __enter__(self) -> Busy:
        self._samples: list[tuple[float, float]] = []
        query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]
        command = [*query, f"--loop-ms={SAMPLE_MILLISECONDS}"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()

    def share(self, begin: float, end: float) -> float:
        """Return the share of time between two times since the epoch that the device was busy; NaN if not known."""
        seen = [busy for when, busy in self._samples if begin <= when <= end]
        return mean(seen) / 100 if seen else math.nan

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):  # not told for a part of a device
                self._samples.append((time.time(), float(line)))
