"""The loop of a guide's notebook: a DataLoader without workers, fp32, each vector turned into a list. Part of
throughput.py.

python benchmarks/notebook_loop.py FOLDER WEIGHTS --images N [--network NAME] [--device cuda]

Embeds JPEGs of FOLDER, then images as CIFAR has them (32 x 32 pixels, in memory), with a network of torchvision and its
weights' own transforms; prints images per second of both as JSON.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

BATCH = 200
SMALL_SIDE = 32


class Images(Dataset[Tensor]):
    """Images as the network takes them, one by one."""

    def __init__(self, count: int, picture: Callable[[int], Image.Image], transform: Callable[[Image.Image], Tensor]):
        self._count, self._picture, self._transform = count, picture, transform

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: int) -> Tensor:
        return self._transform(self._picture(at))


def rate(network: nn.Module, images: Images, device: str) -> float:
    """Return images per second, the first batch left out."""
    vectors: list[list[float]] = []
    began = 0.0
    with torch.no_grad():
        for batch in DataLoader(images, batch_size=BATCH):
            vectors.extend(vector.tolist() for vector in network(batch.to(device)))
            began = began or time.perf_counter()
    return (len(vectors) - BATCH) / (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--images", type=int, required=True, help=f"more than {BATCH}")
    parser.add_argument("--network", default="squeezenet1_1")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    if given.images <= BATCH:
        parser.error(f"--images {given.images}: the first batch of {BATCH} isn't counted; give more")
    network = torchvision.models.get_model(given.network, weights=None)
    network.load_state_dict(torch.load(given.weights, weights_only=True))
    network.eval().to(given.device)
    transform = torchvision.models.get_model_weights(given.network).DEFAULT.transforms()
    files = sorted(given.folder.glob("*.jpg"))[: given.images]
    noise = np.random.default_rng(0).integers(0, 256, (given.images, SMALL_SIDE, SMALL_SIDE, 3), np.uint8)
    small = [Image.fromarray(pixels) for pixels in noise]
    from_files = Images(len(files), lambda at: Image.open(files[at]).convert("RGB"), transform)
    from_memory = Images(len(small), small.__getitem__, transform)
    rates = {
        name: rate(network, images, given.device) for name, images in (("jpeg", from_files), ("cifar", from_memory))
    }
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
