"""The throughput of four models on a CUDA device, end to end and alone, and how busy the device was.

python benchmarks/throughput.py --gpu [--images N] [--rounds N]

Ends with 2 where there is no CUDA device.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from ceilings import rates
from judging import CEILINGS, spread
from machine import keep, table
from pictures import save_clip, save_torchvision, write_jpegs
from whole_run import Whole, whole_run

BATCH = 256
SAMPLE_MILLISECONDS = 100
TORCHVISION = ("squeezenet1_1", "resnet50")
CLIPS = {"clip": "ViT-B/32", "clip-l": "ViT-L/14"}


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

    def share(self, run: Whole) -> float:
        """The mean share of time that the device was busy in the run's steady state."""
        seen = [busy for when, busy in self._samples if run.steady_from <= when <= run.steady_to]
        if not seen:
            raise SystemExit("nvidia-smi gave no sample during the steady state; give more --images")
        return mean(seen) / 100

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._samples.append((time.time(), float(line)))


def settings(name: str, folder: Path) -> dict[str, Any]:
    """A model's settings for a config, its weights saved into `folder`."""
    return save_torchvision(name, folder) if name in TORCHVISION else {"name": f"clip:{save_clip(CLIPS[name], folder)}"}


def measure(name: str, images: Path, folder: Path, given: argparse.Namespace) -> list[str]:
    """One row of the table."""
    folder.mkdir()
    model = settings(name, folder)
    alone, steady, whole, busy = [], [], [], []
    for number in range(given.rounds):
        with Busy() as device:
            run = whole_run(images, folder / str(number), folder.parent, model, given.part_rows)
        label = CEILINGS[run.report["precision"], "uncompiled"]
        alone.append(rates(name, BATCH, given.seconds, only=label)[label])
        steady.append(run.steady)
        whole.append(run.report["embedded"] / run.wall)
        busy.append(device.share(run))
        print(name, number, alone[-1], steady[-1], whole[-1], busy[-1], file=sys.stderr, flush=True)
    ratio = [ours / ceiling for ours, ceiling in zip(steady, alone, strict=True)]
    shown = CLIPS.get(name, name)
    cells = [spread(alone), spread(steady), spread(whole), spread(ratio, ".2f"), spread(busy, ".0%")]
    return [shown, run.report["precision"], *(f"{middle} ({low} to {high})" for middle, low, high in cells)]


def main(given: argparse.Namespace) -> None:
    """Measure, print and keep the table; exit with 2 without a CUDA device."""
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was measured. Run this where torch.cuda.is_available().", file=sys.stderr)
        raise SystemExit(2)
    with tempfile.TemporaryDirectory(prefix="pinery-throughput-") as place:
        folder = Path(place)
        write_jpegs(folder / "images", given.images)
        rows = [measure(name, folder / "images", folder / name, given) for name in (*TORCHVISION, *CLIPS)]
    head = ["model", "precision", "alone", "steady state", "whole run", "steady ÷ alone", "GPU busy"]
    about = (
        f"Images per second on one {torch.cuda.get_device_name()}: {given.images:,} JPEGs of 224 x 224 pixels by"
        f" `pinery run`, batch `auto`, parts of {given.rows:,}, and the model alone on random pixels in batches of"
        f" {BATCH}. Weights are random. Busy is nvidia-smi's figure in the steady state. Median (lowest to highest) of"
        f" {given.rounds} rounds."
    )
    packages = ["torch", "torchvision", "transformers", "pillow", "prefect", "pyarrow", "lancedb"]
    keep("throughput_gpu", "Throughput on a GPU", packages, f"{about}\n\n{table(head, rows)}")
