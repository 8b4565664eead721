"""The throughput of four models on a CUDA device: alone, decoding alone, from JPEG files to Parquet, and peers.

python benchmarks/throughput.py --gpu [--images N] [--rounds N] [--ray-python PYTHON] [--clip-retrieval-python PYTHON]

Needs neither Prefect nor DuckDB nor LanceDB. Ends with 2 where there is no CUDA device that computes in bf16.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch
from ceilings import rates
from notebook_loop import BATCH as NOTEBOOK_BATCH

from measuring.busy import Busy
from measuring.child import child
from measuring.clip_peer import clip_inference
from measuring.judging import CEILINGS, spread
from measuring.machine import keep, table
from measuring.pictures import save_clip, save_torchvision, write_jpegs
from pinery.config import ModelSettings
from pinery.imaging.budget import PixelBudget
from pinery.models.cores import cores
from pinery.models.embedder import DECODED_TOGETHER
from pinery.models.preparing import Clock, Decoder, Fetched, Outcome
from pinery.models.registry import load
from pinery.models.runner import STREAMS_OF_ACCELERATORS

BATCH = 256
TORCHVISION = ("squeezenet1_1", "resnet50")
CLIPS = {"clip": "ViT-B/32", "clip-l": "ViT-L/14"}
DECODERS = ("scaled", "cuda")
PICTURES = 16_384
"""Painted; the other JPEGs repeat them with another comment, and so with other bytes."""
DECODED = 4_096
MAX_PIXELS = 64_000_000
OF_CEILING, OF_PEER = 0.80, 2.0
PACKAGES = ["torch", "torchvision", "transformers", "pillow", "pyarrow"]


@dataclass(slots=True)
class Measured:
    """One model with one decoder; a figure for each round."""

    precision: str = ""
    alone: list[float] = field(default_factory=list)
    decoding: list[float] = field(default_factory=list)
    steady: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)

    @property
    def of_ceiling(self) -> list[float]:
        """The steady rate by what model and decoding allow."""
        each = zip(self.steady, self.alone, self.decoding, strict=True)
        return [ours / min(alone, decoding) for ours, alone, decoding in each]


def settings(name: str, folder: Path) -> dict[str, Any]:
    """Return a model's settings for a config, its weights saved into `folder`."""
    return save_torchvision(name, folder) if name in TORCHVISION else {"name": f"clip:{save_clip(CLIPS[name], folder)}"}


def decoding(model: dict[str, Any], images: Path, seconds: float) -> float:
    """Return the images per second of decoding and preprocessing alone, with as many batches in flight as in a run."""
    loaded = load(ModelSettings(**model))
    encoded = [path.read_bytes() for path in itertools.islice(sorted(images.iterdir()), DECODED)]
    batches = [
        [Fetched(Outcome(at), data) for at, data in enumerate(encoded[first : first + BATCH])]
        for first in range(0, len(encoded), BATCH)
    ]
    decoder, clock = Decoder(PixelBudget(), MAX_PIXELS), Clock({}, {"decode": 1})
    own = torch.get_num_threads()
    one_core = {"initializer": torch.set_num_threads, "initargs": (1,)}
    with ThreadPoolExecutor(cores(), **one_core) as pool, ThreadPoolExecutor(STREAMS_OF_ACCELERATORS) as streams:

        def decode(some: list[Fetched]) -> None:
            for one in some:
                decoder(one, loaded, clock)

        def prepare(batch: list[Fetched]) -> int:
            there = decoder.on_device(batch, loaded)
            left = [one for one, image in zip(batch, there, strict=True) if image is None]
            list(pool.map(decode, [left[at : at + DECODED_TOGETHER] for at in range(0, len(left), DECODED_TOGETHER)]))
            return len(batch)

        prepare(batches[0])  # it allocates
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            done += sum(streams.map(prepare, batches))
        rate = done / (time.perf_counter() - began)
    torch.set_num_threads(own)
    return rate


def measure(name: str, images: Path, folder: Path, given: argparse.Namespace) -> dict[str, Measured]:
    """Return a model's figures with each decoder."""
    found = {decoder: Measured() for decoder in DECODERS}
    for number, (decoder, figures) in itertools.product(range(given.rounds), found.items()):
        model = {**given.models[name], "decode": decoder, "device": given.device}
        began = time.time()
        with Busy() as device:
            run = _part(images, folder / f"{decoder}-{number}", model)
        figures.whole.append(given.images / (time.time() - began))
        figures.precision, label = run["precision"], CEILINGS[run["precision"], "uncompiled"]
        figures.alone.append(rates(name, BATCH, given.seconds, only=label)[label])
        figures.decoding.append(decoding(model, images, given.seconds))
        figures.steady.append(run["steady"])
        figures.busy.append(device.share(run["steady_from"], run["steady_to"]))
        torch.cuda.empty_cache()  # the next one is another process
        print(name, decoder, number, run, figures, file=sys.stderr, flush=True)
    return found


def _part(images: Path, out: Path, model: dict[str, Any]) -> Any:
    return child(Path(sys.executable), "one_part.py", images, out, json.dumps(model))


def peers(name: str, images: Path, folder: Path, given: argparse.Namespace) -> dict[str, float | str]:
    """Return images per second of each peer of a model, or why there are none."""
    found: dict[str, float | str] = {}
    model = given.models[name]
    if name in CLIPS:
        path = Path(model["name"].partition(":")[2])
        found["clip-retrieval"] = _tried(
            given.clip_retrieval_python,
            lambda python: clip_inference(
                python, images, path, folder / "clip-retrieval", BATCH, torch.get_num_threads()
            ),
        )
        return found
    few = ("--images", max(given.subset, 4 * NOTEBOOK_BATCH), "--network", name, "--device", given.device)
    weights = model["weights"]
    loop = lambda python: child(python, "notebook_loop.py", images, weights, *few)["jpeg"]  # noqa: E731
    found["the notebook's loop"] = _tried(Path(sys.executable), loop)
    for precision, flags in {"fp32": (), "bf16": ("--bf16",)}.items():
        arguments = (images, weights, folder / f"ray-{precision}", "--network", name, "--gpu", *flags)
        ray = lambda python, arguments=arguments: child(python, "ray_data.py", *arguments)["rate"]  # noqa: E731
        found[f"Ray Data, {precision}"] = _tried(given.ray_python, ray)
    return found


def _tried(python: Path | None, work: Callable[[Path], float]) -> float | str:
    if python is None:
        return "not measured: no interpreter was given"
    try:
        return float(work(python))
    except (RuntimeError, OSError, SystemExit) as failed:
        return f"not measured: {str(failed).strip().splitlines()[-1]}"


def page(
    found: dict[str, dict[str, Measured]], beside: dict[str, dict[str, float | str]], given: argparse.Namespace
) -> str:
    """Return the body of the results."""
    rows, bars, others = [], [], []
    for name, ways in found.items():
        shown = CLIPS.get(name, name)
        for decoder, figures in ways.items():
            cells = [figures.alone, figures.decoding, figures.steady, figures.whole]
            shares = [_cell(figures.of_ceiling, ".2f"), _cell(figures.busy, ".0%")]
            rows.append([f"{shown}, `{decoder}`", figures.precision, *map(_cell, cells), *shares])
        best = max(ways.values(), key=lambda figures: median(figures.steady))
        bars.append(_bar(f"{shown}: steady state ÷ what model and decoding allow", OF_CEILING, median(best.of_ceiling)))
        rivals = {who: rate for who, rate in beside[name].items() if isinstance(rate, float)}
        for who, rate in beside[name].items():
            others.append([f"{shown}: {who}", f"{rate:,.0f}" if isinstance(rate, float) else rate])
        if rivals:
            ratio = median(best.steady) / max(rivals.values())
            bars.append(_bar(f"{shown}: steady state ÷ the best peer here", OF_PEER, ratio))
    head = ["model, decoder", "precision", "alone", "decoding alone", "steady state", "whole process", "steady ÷ least"]
    pictures = min(given.images, PICTURES)
    about = (
        f"Images per second on one {torch.cuda.get_device_name()}: {given.images:,} JPEGs of 224 x 224 pixels"
        f" ({pictures:,} pictures) from files to one part's Parquet file in a process of its own, by"
        " `pinery.steps.make_part`, batch `auto`; the model alone on random pixels in batches of"
        f" {BATCH} on the device; and decoding alone. `scaled` decodes on all cores, `cuda` on the device. Weights are"
        " random. Busy is nvidia-smi's figure in the steady state, which is from a third of the images on. Median"
        f" (lowest to highest) of {given.rounds} rounds; peers once."
    )
    measured = table([*head, "GPU busy"], rows)
    judged = table(["bar", "limit", "median", "holds"], bars)
    return f"{about}\n\n{measured}\n\n## The bars\n\n{judged}\n\n## Peers\n\n{table(['', 'images/s'], others)}"


def _cell(values: Sequence[float], form: str = ",.0f") -> str:
    middle, low, high = spread(values, form)
    return f"{middle} ({low} to {high})"


def _bar(what: str, limit: float, value: float) -> list[str]:
    return [what, f"≥ {limit:.2f}", f"{value:.2f}", "yes" if value >= limit else "**no**"]


def main(given: argparse.Namespace) -> None:
    """Measure, print and keep the page; exit with 2 without a CUDA device."""
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was measured. Run this where torch.cuda.is_available().", file=sys.stderr)
        raise SystemExit(2)
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        print(
            "this device computes no bf16, in which the model alone is measured; take an Ampere or later one.",
            file=sys.stderr,
        )
        raise SystemExit(2)
    given.device = "cuda"
    keep("throughput_gpu", "Throughput on a GPU", PACKAGES, measured(given), "throughput")


def measured(given: argparse.Namespace) -> str:
    """Return all figures; the page."""
    with tempfile.TemporaryDirectory(prefix="pinery-throughput-") as place:
        folder = Path(place)
        write_jpegs(folder / "images", given.images, PICTURES)
        names = (*TORCHVISION, *CLIPS)
        for name in names:
            (folder / name).mkdir()
        given.models = {name: settings(name, folder / name) for name in names}
        found = {name: measure(name, folder / "images", folder / name, given) for name in names}
        beside = {name: peers(name, folder / "images", folder / name, given) for name in names}
        return page(found, beside, given)
