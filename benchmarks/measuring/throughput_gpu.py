"""The throughput of four models on a CUDA device: alone, decoding alone, from JPEG files to Parquet, and peers.

python benchmarks/throughput.py --gpu [--models NAME ...] [--decode DECODER ...] [--minutes N] [--ray-python PYTHON]

Prints each row as it is measured, and begins none that may not end within the minutes. Needs neither Prefect nor
DuckDB, LanceDB or boto3. Ends with 2 where there is no CUDA device that computes in bf16.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from ceilings import rates

from measuring.child import child
from measuring.decoders import Decoders, decoding_on_device
from measuring.judging import CEILINGS
from measuring.machine import keep, table
from measuring.pictures import jpeg, photograph, save_clip, save_torchvision, write_jpegs
from pinery.cores import cores
from pinery.embedding.gpu_busy import GpuBusy
from pinery.errors import ConfigError

BATCH = 256
CLIPS = {"clip": "ViT-B/32", "clip-l": "ViT-L/14"}
SHARE_OF_CLIP = 4
"""A CLIP gets so many times fewer images, because its network is slower."""
PICTURES = 8_192
"""Painted; the other JPEGs repeat them with another comment, and so with other bytes."""
PHOTOGRAPHS, WIDTH, HEIGHT, QUALITY = 2_048, 1600, 1200, 75
PAINTED = 16
DECODED = 4_096
SAMPLE_MILLISECONDS = 100
OF_CEILING, OF_PEER = 0.80, 2.0
PACKAGES = ["torch", "torchvision", "pillow", "pyarrow"]
HEAD = [
    "images, model, `decode`: decoder",
    "precision",
    "workers",
    "alone",
    "decoding alone",
    "Pinery",
    "÷ least",
    "GPU busy",
    "loader",
    "Pinery ÷ loader",
]


def settings(name: str, folder: Path) -> dict[str, Any]:
    """Return a model's settings for a config, its weights saved into `folder`."""
    return {"name": f"clip:{save_clip(CLIPS[name], folder)}"} if name in CLIPS else save_torchvision(name, folder)


def row(kind: str, name: str, decode: str, images: Path, folder: Path, given: argparse.Namespace) -> list[str]:
    """Measure one model with one setting `decode` on one kind of images; return its row."""
    files = list(itertools.islice(sorted(images.iterdir()), DECODED))
    model = {**given.settings[name], "decode": decode, "device": given.device}
    with GpuBusy([0], SAMPLE_MILLISECONDS) as device:
        run = child(Path(sys.executable), "embed_folder.py", images, folder / decode, json.dumps(model))
    alone = given.alone(name, CEILINGS[run["precision"], "uncompiled"])
    model["decode"] = run["decoder"]
    if run["decoder"] == "cuda":
        decoded = decoding_on_device(model, files, given.seconds)
    else:
        decoded = given.decoders.rate(model, files, given.seconds)
    peer, why = given.loader(images, name)
    torch.cuda.empty_cache()  # the next one is another process
    busy = device.share(run["steady_from"], run["steady_to"])
    shown = f"{kind}, {CLIPS.get(name, name)}, `{decode}`: {run['decoder']}"
    rates_shown = [f"{rate:,.0f}" for rate in (alone, decoded, run["steady"])]
    least = run["steady"] / min(alone, decoded)
    beside = [f"{peer:,.0f}", f"{run['steady'] / peer:.1f}"] if peer else [why, ""]
    shares = [f"{least:.2f}", "unknown" if busy is None else f"{busy:.0%}", *beside]
    return [shown, run["precision"], f"{run['workers']}", *rates_shown, *shares]


def folders(place: Path, given: argparse.Namespace) -> Iterator[tuple[str, Path, list[str]]]:
    """Write and yield each kind of images with the models that they are for."""
    write_jpegs(place / "small", given.images, PICTURES)
    networks = [name for name in given.models if name not in CLIPS]
    yield "224 x 224", place / "small", networks
    if clips := [name for name in given.models if name in CLIPS]:
        fewer = place / "fewer"
        fewer.mkdir()
        for path in sorted((place / "small").iterdir())[::SHARE_OF_CLIP]:
            (fewer / path.name).hardlink_to(path)
        yield "224 x 224", fewer, clips
    if networks:
        large = place / "large"
        large.mkdir()
        painted = [jpeg(photograph(WIDTH, HEIGHT, seed), QUALITY) for seed in range(PAINTED)]
        for number in range(PHOTOGRAPHS):
            comment = str(number).encode()
            segment = b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big") + comment
            data = painted[number % PAINTED]
            (large / f"{number:05}.jpg").write_bytes(data[:2] + segment + data[2:])
        yield f"{WIDTH} x {HEIGHT}", large, networks[-1:]


def measure(given: argparse.Namespace) -> list[list[str]]:
    """Return all rows, each printed as soon as it is measured."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="pinery-throughput-") as name:
        place = Path(name)
        for model in given.models:
            (place / model).mkdir()
        given.settings = {model: settings(model, place / model) for model in given.models}
        given.alone = functools.cache(lambda model, label: rates(model, BATCH, given.seconds, only=label)[label])

        @functools.cache
        def loader(images: Path, model: str) -> tuple[float, str]:
            out = place / f"loader-{model}-{images.name}"
            arguments = (images, out, json.dumps(given.settings[model]), "--workers", cores(), "--device", given.device)
            try:
                return float(child(Path(sys.executable), "loader_loop.py", *arguments)["steady"]), ""
            except SystemExit as failed:  # it needs shared memory, of which a container may have little
                return 0.0, f"failed: {str(failed).strip().splitlines()[-1]}"

        given.loader = loader
        longest = 0.0
        for kind, images, models in folders(place, given):
            for model, decode in itertools.product(models, given.decode):
                began = time.time()
                try:
                    if began + longest > given.began + 60 * given.minutes:
                        raise SystemExit(f"not measured: it might not end within {given.minutes:g} minutes")
                    rows.append(row(kind, model, decode, images, place / model / images.name, given))
                except (ConfigError, SystemExit) as failed:
                    rows.append([f"{kind}, {model}, `{decode}`", *[""] * (len(HEAD) - 2), str(failed).splitlines()[-1]])
                longest = max(longest, time.time() - began)
                print(" | ".join(rows[-1]), f"[{time.time() - given.began:.0f} s]", flush=True)
            for model in (one for one in models if given.ray_python and one not in CLIPS):
                rate = _ray(images, model, place, given)
                rows.append([f"{kind}, {model}: Ray Data, bf16", *[""] * (len(HEAD) - 3), rate, ""])
                print(" | ".join(rows[-1]), flush=True)
    return rows


def _ray(images: Path, model: str, place: Path, given: argparse.Namespace) -> str:
    weights, out = given.settings[model]["weights"], place / f"ray-{model}-{images.name}"
    arguments = (images, weights, out, "--network", model, "--gpu", "--bf16")
    try:
        return f"{child(given.ray_python, 'ray_data.py', *arguments)['rate']:,.0f}"
    except SystemExit as failed:
        return f"not measured: {str(failed).strip().splitlines()[-1]}"


def page(rows: list[list[str]], given: argparse.Namespace) -> str:
    """Return the body of the results."""
    return (
        f"Images per second on one {torch.cuda.get_device_name()}, in steady state, which is from a third of the images"
        f" on: {given.images:,} JPEGs of 224 x 224 pixels (CLIP: {given.images // SHARE_OF_CLIP:,}), and"
        f" {PHOTOGRAPHS:,} photographs of {WIDTH} x {HEIGHT}; from files to the Parquet files of parts, by"
        " `benchmarks/embed_folder.py`, which chooses workers and batches as a run does. The model alone has random"
        f" pixels on the device in batches of {BATCH}; decoding alone is by the decoder that Pinery chose, its files in"
        " memory: on the device (`cuda`), or on all cores in a process for every two of them. The loader is"
        " `benchmarks/loader_loop.py`, a DataLoader with a process for each core, in bf16. Weights are random. Busy is"
        f" nvidia-smi's figure in Pinery's steady state. One round. Pinery is to reach {OF_CEILING:.2f} of the lesser"
        f" of model and decoding, and {OF_PEER:.0f} times the loader where the model isn't the limit."
        f"\n\n{table(HEAD, rows)}"
    )


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
    given.began, given.device = time.time(), "cuda"
    with Decoders() as given.decoders:
        rows = measure(given)
    keep("throughput_gpu", "Throughput on a GPU", PACKAGES, page(rows, given), "throughput")
