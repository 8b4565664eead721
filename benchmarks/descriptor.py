"""Measures the built-in descriptor's precision@5 on a folder, beside a plain 512-bin RGB histogram.

`python -m benchmarks.descriptor FOLDER`: every image queries all the others by cosine, and a hit has the same label.
Images come at the size they are stored in; the labels serve to count hits, nothing is fitted to them.
"""

import argparse
import json
import platform
import re
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL
import torch
from PIL import Image

import pinery
from pinery.imaging.decode import decode
from pinery.models.descriptor import Descriptor

LABEL = r"^(?P<label>[^-]+)-"
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
Vectors = npt.NDArray[np.float32]


def read(folder: Path, pattern: str) -> tuple[list[Image.Image], npt.NDArray[np.str_]]:
    """Return the folder's images by name, and their labels; files whose name has no label are left out."""
    images, labels = [], []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        match = re.search(pattern, path.relative_to(folder).as_posix())
        if match:
            images.append(decode(path.read_bytes()))
            labels.append(match["label"])
    if len(set(labels)) < 2:
        raise SystemExit(f"{folder} has images of {len(set(labels))} labels by {pattern!r}; at least 2 are needed.")
    return images, np.array(labels)


def descriptors(images: list[Image.Image]) -> Vectors:
    """Return Pinery's descriptors, of shape (images, 512)."""
    model = Descriptor()
    prepared = torch.stack([model.preprocess(image) for image in images])
    return np.concatenate([model.embed(batch) for batch in torch.split(prepared, model.batch_size)])


def histograms(images: list[Image.Image]) -> Vectors:
    """Return the share of pixels in each of 8 x 8 x 8 equal boxes of RGB, of shape (images, 512)."""
    rows = []
    for image in images:
        box = np.asarray(image).reshape(-1, 3).astype(np.intp) // 32
        counts = np.bincount(box @ np.array([64, 8, 1]), minlength=512)
        rows.append(counts / counts.sum())
    return np.array(rows, np.float32)


def precision(vectors: Vectors, labels: npt.NDArray[np.str_], top_k: int) -> float:
    """Return the mean share of an image's `top_k` nearest others by cosine that have its label."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = units @ units.T
    np.fill_diagonal(scores, -np.inf)
    nearest = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    return float((labels[nearest] == labels[:, None]).mean())


def main() -> None:
    """Measure both and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--label", default=LABEL, help="regex with a group `label` over the path (default: %(default)s)"
    )
    parser.add_argument("--top-k", type=int, default=5)
    arguments = parser.parse_args()
    images, labels = read(arguments.folder, arguments.label)
    result: dict[str, object] = {"images": len(images), "labels": len(set(labels.tolist()))}
    for name, method in (("descriptor", descriptors), ("rgb_histogram_512", histograms)):
        start = time.perf_counter()
        vectors = method(images)
        seconds = time.perf_counter() - start
        result[name] = {
            f"precision_at_{arguments.top_k}": round(precision(vectors, labels, arguments.top_k), 4),
            "dimension": vectors.shape[1],
            "images_per_second": round(len(images) / seconds),
        }
    versions = {"pinery": pinery.__version__, "python": platform.python_version(), "torch": torch.__version__}
    result["versions"] = versions | {"numpy": np.__version__, "pillow": PIL.__version__, "card": Descriptor.card.key}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
