"""Measures a network's speed by precision, memory layout and compilation, and when compiling pays.

python benchmarks/networks.py [NAME …] [--batch N] [--rounds N]; names as torchvision has them, `clip` or `dinov2`.
Weights are random: they change no speed. As in Pinery, freed memory is kept, and on a CPU each core computes
batches of its own. Each variant takes its turn in every round, so that what else the machine does meets all of them
alike; figures are each variant's best round.
"""

import argparse
import copy
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
import torch._inductor.config
import torchvision
from measuring.machine import keep, table
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, Dinov2Config, Dinov2Model

from pinery.allocator import keep_freed_memory
from pinery.embedding.runner import MOST_STREAMS
from pinery.models.compiled import Compiled
from pinery.models.device import DTYPES, resolve_device

NAMES = ("squeezenet1_1", "resnet50", "mobilenet_v3_large", "clip", "dinov2")
SIDE = 224
TURN_SECONDS = 1.0
Run = Callable[[Tensor], Tensor]


class Transformer(nn.Module):
    """A transformers image tower that takes its images without a keyword."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return vectors (n, dimension) of images (n, 3, 224, 224)."""
        output = self.network(pixel_values=images)
        vectors: Tensor = output[0] if output[0].ndim == 2 else output[1]
        return vectors


def build(name: str) -> nn.Module:
    """Return a network with random weights."""
    if name == "clip":
        return Transformer(CLIPVisionModelWithProjection(CLIPVisionConfig(patch_size=32)))
    if name == "dinov2":
        small = {"hidden_size": 384, "num_attention_heads": 6, "num_hidden_layers": 12}
        return Transformer(Dinov2Model(Dinov2Config(**small, image_size=SIDE, patch_size=14)))
    network: nn.Module = torchvision.models.get_model(name, weights=None)
    return network


def variants(network: nn.Module, device: str, batch: int) -> dict[str, Run]:
    """Return the network as it is, and changed step by step into what Pinery runs."""

    def run(precision: str, layout: torch.memory_format, *, compiled: bool = False, autocast: bool = False) -> Run:
        dtype = DTYPES["fp32" if autocast else precision]
        own: Any = copy.deepcopy(network).eval().requires_grad_(False).to(device, dtype)
        own = own.to(memory_format=layout)
        called = Compiled(own, "network", batch) if compiled else own
        kind = torch.device(device).type

        def call(images: Tensor) -> Tensor:
            ready = images.to(device).to(dtype, memory_format=layout)
            with torch.inference_mode(), torch.autocast(kind, DTYPES["bf16"], enabled=autocast):
                vectors: Tensor = called(ready).float().cpu()
            return vectors

        return call

    rows, last = torch.contiguous_format, torch.channels_last
    return {
        "fp32": run("fp32", rows),
        "fp32, channels last": run("fp32", last),
        "bf16 by autocast": run("bf16", last, autocast=True),
        "bf16 weights": run("bf16", last),
        "bf16 weights, compiled": run("bf16", last, compiled=True),
    }


def as_in_pinery(device: str) -> ThreadPoolExecutor:
    """Return the threads that compute, a batch each: on a CPU one for each core. Freed memory is kept from here on."""
    keep_freed_memory()
    streams = min(torch.get_num_threads(), MOST_STREAMS) if torch.device(device).type == "cpu" else 1
    # Whoever computes on several cores keeps OpenMP's threads, and they would be in the way of the others.
    torch.set_num_threads(max(1, torch.get_num_threads() // streams))
    return ThreadPoolExecutor(streams, "stream", torch.set_num_threads, (torch.get_num_threads(),))


def rate(run: Run, images: Tensor, seconds: float, streams: ThreadPoolExecutor | None) -> float:
    """Return images per second while each stream, or this thread, repeats a batch for so many seconds."""

    def one() -> float:
        began, done = time.perf_counter(), 0
        while not done or time.perf_counter() - began < seconds:
            run(images)
            done += len(images)
        return done / (time.perf_counter() - began)

    if streams is None:
        return one()
    return sum(found.result() for found in [streams.submit(one) for _ in range(streams._max_workers)])


def measure(name: str, device: str, batch: int, rounds: int, streams: ThreadPoolExecutor) -> list[str]:
    """Return a row: images per second of each variant, seconds to compile, and the images from which that pays."""
    torch._dynamo.reset()
    images = torch.randn(batch, 3, SIDE, SIDE)
    runs = variants(build(name), device, batch)
    first, best = {}, dict.fromkeys(runs, 0.0)
    for label, run in runs.items():
        began = time.perf_counter()
        streams.submit(run, images).result()
        first[label] = time.perf_counter() - began
    for _ in range(rounds):
        for label, run in runs.items():
            best[label] = max(best[label], rate(run, images, TURN_SECONDS, streams))
    eager, compiled = best["bf16 weights"], best["bf16 weights, compiled"]
    compiling = first["bf16 weights, compiled"]
    pays = f"{compiling / (1 / eager - 1 / compiled):,.0f}" if compiled > 1.03 * eager else "never"
    return [name, *(f"{images:,.0f}" for images in best.values()), f"{compiling:.0f}", pays]


def main() -> None:
    """Measure, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=8)
    given = parser.parse_args()
    device = resolve_device("auto")
    streams = as_in_pinery(device)
    # A nightly run finds on disk what an earlier one compiled; the first of all doesn't.
    torch._inductor.config.force_disable_caches = True
    rows = []
    with tempfile.TemporaryDirectory(prefix="pinery-networks-") as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # kernels are kept whatever the setting above says
        for name in given.names:
            rows.append(measure(name, device, given.batch, given.rounds, streams))
            print(*rows[-1], file=sys.stderr, flush=True)
    labels = ("fp32", "fp32, channels last", "bf16 by autocast", "bf16 weights", "bf16 weights, compiled")
    head = ["network", *labels, "seconds to compile", "pays from images"]
    body = (
        f"Images per second on {device}, batches of {given.batch} images of {SIDE} x {SIDE} pixels, the best of"
        f" {given.rounds} turns; as in Pinery, freed memory is kept, and on a CPU each core computes its own"
        f" batches. `never`: less than 3 % faster. Compiled without torch's cache on disk; that it pays is reckoned as"
        f" if nothing else were done meanwhile.\n\n{table(head, rows)}"
    )
    keep("networks", "How a network is run", ["torch", "torchvision", "transformers"], body)


if __name__ == "__main__":
    main()
