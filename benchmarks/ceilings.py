"""A network alone on random pixels in memory, by precision, layout and compilation. Part of throughput.py.

python benchmarks/ceilings.py NAME [--batch N] [--seconds N] [--as-pinery]; names as in networks.py, or `clip-l`

Each variant runs for as long; prints images per second as JSON. By default as PyTorch comes: one batch on all cores.
"""

import argparse
import copy
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from measuring.pictures import PROJECTION, VISION
from networks import SIDE, Run, Transformer, as_in_pinery, build, rate, variants
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from pinery.models.compiled import Compiled
from pinery.models.device import resolve_device


def network_of(name: str) -> nn.Module:
    """Return a network with random weights: what benchmarks/networks.py builds, or `clip-l`, CLIP's ViT-L/14."""
    if name != "clip-l":
        return build(name)
    config = CLIPVisionConfig(**VISION["ViT-L/14"], projection_dim=PROJECTION["ViT-L/14"])
    return Transformer(CLIPVisionModelWithProjection(config))


def runs(name: str, device: str, batch: int) -> dict[str, Run]:
    """Return the variants of benchmarks/networks.py, and one that it lacks."""
    network = network_of(name)
    own: Any = copy.deepcopy(network).eval().requires_grad_(False).to(device)
    compiled = Compiled(own.to(memory_format=torch.channels_last), "network", batch)

    def fp32(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return compiled(images.to(device)).cpu()

    return {**variants(network, device, batch), "fp32, channels last, compiled": fp32}


def rates(
    name: str, batch: int, seconds: float, only: str | None = None, streams: ThreadPoolExecutor | None = None
) -> dict[str, float]:
    """Return images per second of each variant, or `only` one; without `streams` on this thread, and so all cores."""
    # Pixels lie as each variant wants them, so that none has to turn them first.
    device = resolve_device("auto")
    images = torch.randn(batch, 3, SIDE, SIDE).to(device)
    turned = images.to(memory_format=torch.channels_last)
    found = {}
    for label, run in runs(name, device, batch).items():
        if only not in (None, label):
            continue
        pixels = images if label == "fp32" else turned
        for _ in range(2):
            streams.submit(run, pixels).result() if streams else run(pixels)
        found[label] = rate(run, pixels, seconds, streams)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5, help="of each variant; default: 5")
    parser.add_argument(
        "--as-pinery", action="store_true", help="a batch for each core, and freed memory kept, as Pinery does it"
    )
    given = parser.parse_args()
    streams = as_in_pinery(resolve_device("auto")) if given.as_pinery else None
    print(json.dumps(rates(given.name, given.batch, given.seconds, streams=streams)))


if __name__ == "__main__":
    main()
