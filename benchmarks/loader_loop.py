"""The loop that an engineer writes by hand for a GPU: a DataLoader with workers, bf16, Parquet. Part of throughput.py.

python benchmarks/loader_loop.py FOLDER OUT MODEL [--workers N] [--batch N] [--device cuda]

MODEL is the `model` of a config, in JSON, with weights from a file or a CLIP from a folder. Prints as JSON the images
per second in steady state, which is from a third of the images on, and of the whole process after its imports.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torchvision
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

MEAN, DEVIATION = (0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)
"""CLIP's (openai/clip-vit-base-patch32, preprocessor_config.json)."""
Network = Callable[[Tensor], Tensor]


class Files(Dataset[Tensor]):
    """Image files as the network takes them."""

    def __init__(self, paths: list[Path], transform: Any) -> None:
        self._paths, self._transform = paths, transform

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, at: int) -> Tensor:
        with Image.open(self._paths[at]) as image:
            found: Tensor = self._transform(image.convert("RGB"))
        return found


def network_of(model: dict[str, str], device: str) -> tuple[Network, Any]:
    """Return a network in bf16 on the device, and the transforms of its images."""
    family, _, name = model["name"].partition(":")
    if family == "clip":
        from transformers import CLIPVisionModelWithProjection

        clip = CLIPVisionModelWithProjection.from_pretrained(name, torch_dtype=torch.bfloat16).eval().to(device)
        to_values = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, DEVIATION)]
        resize = v2.Resize(224, interpolation=v2.InterpolationMode.BICUBIC)
        return lambda images: clip(pixel_values=images).image_embeds, v2.Compose(
            [resize, v2.CenterCrop(224), *to_values]
        )
    network = torchvision.models.get_model(name, weights=None)
    network.load_state_dict(torch.load(model["weights"], weights_only=True))
    network = network.eval().to(device, torch.bfloat16).to(memory_format=torch.channels_last)
    return network, torchvision.models.get_model_weights(name).DEFAULT.transforms()


def embed(paths: list[Path], out: Path, given: argparse.Namespace) -> list[tuple[float, int]]:
    """Embed the files into one Parquet file; return at what time how many were done."""
    network, transform = network_of(json.loads(given.model), given.device)
    pinned, ahead = given.device != "cpu", 4 if given.workers else None
    loader = DataLoader(
        Files(paths, transform), given.batch, num_workers=given.workers, pin_memory=pinned, prefetch_factor=ahead
    )
    done: list[tuple[float, int]] = [(time.time(), 0)]
    writer: pq.ParquetWriter | None = None
    with torch.inference_mode():
        for images in loader:
            moved = images.to(given.device, torch.bfloat16, memory_format=torch.channels_last, non_blocking=True)
            vectors = network(moved).float().cpu().numpy()
            first = done[-1][1]
            ids = [path.name for path in paths[first : first + len(vectors)]]
            rows = pa.table({"id": ids, "values": pa.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1])})
            writer = writer or pq.ParquetWriter(out, rows.schema)
            writer.write_table(rows)
            done.append((time.time(), first + len(vectors)))
    if writer:
        writer.close()
    return done


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("model")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--device", default="cuda")
    given = parser.parse_args()
    began = time.time()
    given.out.mkdir(parents=True)
    done = embed(sorted(given.folder.iterdir()), given.out / "part.parquet", given)
    total = done[-1][1]
    first, before = next((when, count) for when, count in done if count >= total / 3)
    print(json.dumps({"steady": (total - before) / (done[-1][0] - first), "whole": total / (time.time() - began)}))


if __name__ == "__main__":
    main()
