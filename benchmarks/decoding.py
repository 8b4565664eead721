"""Measures what decoding costs, and what a faster decoder does to vectors.

python benchmarks/decoding.py [--images FOLDER] [--seconds 2]

JPEGs of three sizes, painted here, through the decoders `exact`, `scaled` and `fast` for a model that resizes to 224
pixels, with plain Pillow as the ceiling beside them; one thread. Then from bytes to what a model takes, beside what
one writes by hand; the memory that one large JPEG takes; and the cosines between vectors of each margin's pixels and of
all pixels.
"""

import argparse
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torchvision
from measuring.machine import keep, table
from measuring.pictures import jpeg, photograph
from PIL import Image
from torchvision.models import ResNet18_Weights, SqueezeNet1_1_Weights
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from pinery.allocator import keep_freed_memory
from pinery.imaging.decode import decode
from pinery.imaging.prepare import prepare_on_cpu
from pinery.imaging.scaling import Decoder, least_side
from pinery.models.descriptor import Descriptor
from pinery.models.pixels import Pixels as TorchvisionPixels
from pinery.models.processors import load_processor

DECODERS: tuple[Decoder, ...] = ("exact", "scaled", "fast")
"""The decoders that run on a CPU."""
SIDES = (224, 1000, 4000)
CAMERA = ((224, 224), (1600, 1200), (4032, 3024))
MODEL_SIDE = 224
MAX_PIXELS = 64_000_000
MARGINS = (1, 2, 3, 4)
UPSCALED = 1600
LARGE = 8000

PEAK = """
import ctypes, io, sys
from PIL import Image
from pinery.imaging.decode import decode

def kib(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

buffer = io.BytesIO()
Image.effect_noise((SIDE, SIDE), 40).convert("RGB").save(buffer, "JPEG", progressive=sys.argv[2] == "progressive")
data = buffer.getvalue()
del buffer
ctypes.CDLL(None).malloc_trim(0)
open("/proc/self/clear_refs", "w").write("5")
before = kib("VmRSS")
decode(data, least_side=int(sys.argv[1]) or None)
print((kib("VmHWM") - before) / 1024)
"""


def by_pillow(data: bytes) -> Image.Image:
    """Return every pixel, and no question asked."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


def per_second(work: Callable[[bytes], object], data: bytes, seconds: float) -> float:
    """Return images per second, the median of single timings."""
    work(data)
    timings, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(timings) < 5:
        began = time.perf_counter()
        work(data)
        timings.append(time.perf_counter() - began)
    return 1 / statistics.median(timings)


def speeds(seconds: float) -> str:
    """Return a table of decoding speeds."""
    rows = []
    for side in SIDES:
        data = jpeg(photograph(side * 4 // 3, side, 0))
        ways = [by_pillow, *(through(decoder) for decoder in DECODERS)]
        measured = [per_second(work, data, seconds) for work in ways]
        measured += [per_second(lambda data, work=work: resized(work(data)), data, seconds) for work in ways]
        rows.append([f"{side * 4 // 3} x {side}", f"{len(data) / 1024:,.0f}", *(f"{one:,.0f}" for one in measured)])
    names = ["plain Pillow", *(f"`{decoder}`" for decoder in DECODERS)]
    return table(["JPEG", "KiB", *names, *(f"{name} + resize" for name in names)], rows)


def resized(image: Image.Image) -> Image.Image:
    """Return the image as a model's preprocessing begins: with its short side at MODEL_SIDE."""
    factor = MODEL_SIDE / min(image.size)
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)


def through(decoder: str) -> Callable[[bytes], Image.Image]:
    """Return a decoder for a model that resizes to MODEL_SIDE."""
    least = least_side(decoder, MODEL_SIDE)
    return lambda data: decode(data, least_side=least)


def preparing() -> dict[str, tuple[Callable[[Image.Image], Any], Any]]:
    """Return for each model what its own library does to an image, and what Pinery does."""
    transforms = SqueezeNet1_1_Weights.DEFAULT.transforms()
    pixels = TorchvisionPixels(transforms)
    squeezenet = SimpleNamespace(preprocess=pixels, centre_crop=pixels.centre_crop, resize_side=256)
    processor = CLIPImageProcessor()
    with tempfile.TemporaryDirectory() as folder:
        processor.save_pretrained(folder)
        clip = load_processor(Path(folder))
    return {
        "squeezenet1_1": (transforms, squeezenet),
        "CLIP": (lambda image: processor(images=image, return_tensors="pt"), clip),
    }


def prepared(seconds: float) -> str:
    """Return a table of the speeds from bytes to what a model takes."""
    rows = []
    for name, (plain, model) in preparing().items():
        for width, height in CAMERA:
            data = jpeg(photograph(width, height, 0))
            ways: list[Callable[[bytes], object]] = [lambda data, plain=plain: plain(by_pillow(data))]
            ways += [
                lambda data, model=model, decoder=decoder: prepare_on_cpu(data, decoder, model, MAX_PIXELS)
                for decoder in DECODERS
            ]
            rates = [f"{per_second(work, data, seconds):,.0f}" for work in ways]
            rows.append([f"{name}, {width} x {height}", f"{len(data) / 1024:,.0f}", *rates])
    return table(["model, JPEG", "KiB", "Pillow and its library", *(f"`{decoder}`" for decoder in DECODERS)], rows)


def memory() -> str:
    """Return a table of the memory that one large JPEG takes."""
    rows = []
    for kind in ("baseline", "progressive"):
        peaks = []
        for decoder in DECODERS:
            command = [sys.executable, "-c", PEAK.replace("SIDE", str(LARGE)), str(least_side(decoder, 224) or 0), kind]
            ended = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks.append(f"{float(ended.stdout):,.0f}")
        rows.append([f"{LARGE} x {LARGE}, {kind}", *peaks])
    return table(["JPEG", *(f"`{decoder}`, MiB" for decoder in DECODERS)], rows)


class Network:
    """A torch network with random weights and the preprocessing it is made for."""

    def __init__(self, network: Any, preprocess: Any, side: int) -> None:
        self.resize_side, self.preprocess, self._network = side, preprocess, network.eval()

    def embed(self, batch: torch.Tensor) -> Any:
        """Return vectors of shape (images, dimension)."""
        with torch.inference_mode():
            output = self._network(batch)
        return getattr(output, "image_embeds", output).numpy()


class Pixels:
    """The resized picture itself as the vector: the strictest of all models."""

    resize_side = 64

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """Return the picture resized, of shape (64, 64, 3)."""
        return torch.from_numpy(np.array(image.resize((64, 64), Image.Resampling.BICUBIC))).float()

    def embed(self, batch: torch.Tensor) -> Any:
        """Return vectors of shape (images, 12288)."""
        flat = batch.flatten(1)
        return (flat - flat.mean(dim=1, keepdim=True)).numpy()


def models() -> dict[str, Any]:
    """Return the models by the names of their rows in the table of cosines."""
    torch.manual_seed(0)
    resnet = torchvision.models.resnet18()
    resnet.fc = torch.nn.Identity()
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
    clip = CLIPVisionModelWithProjection(CLIPVisionConfig(image_size=224, projection_dim=64, **sizes))
    descriptor = Descriptor()
    descriptor.resize_side = 64  # type: ignore[attr-defined,unused-ignore]
    processor = CLIPImageProcessor()
    squeezenet = torchvision.models.squeezenet1_1()
    return {
        "pixels at 64 x 64, mean taken off": Pixels(),
        "`descriptor`": descriptor,
        "squeezenet1_1, random": Network(squeezenet, SqueezeNet1_1_Weights.DEFAULT.transforms(), 256),
        "resnet18#features, random": Network(resnet, ResNet18_Weights.DEFAULT.transforms(), 256),
        "CLIP, small and random": Network(
            clip, lambda image: processor(image, return_tensors="pt").pixel_values[0], 224
        ),
    }


def cosines(samples: Sequence[bytes]) -> str:
    """Return a table of the distance between vectors of scaled and of whole pictures, by margin."""
    rows = []
    for name, model in models().items():
        exact = [vector(model, decode(data)) for data in samples]
        row = [name]
        for margin in MARGINS:
            scaled = [decode(data, least_side=margin * model.resize_side) for data in samples]
            apart = [
                1 - float(vector(model, image) @ whole)
                for data, image, whole in zip(samples, scaled, exact, strict=True)
                if image.size != Image.open(io.BytesIO(data)).size
            ]
            row.append(f"{max(apart):.1e} ({len(apart)})" if apart else "none scaled")
        rows.append(row)
    return table(["model", *(f"margin {margin}" for margin in MARGINS)], rows)


def vector(model: Any, image: Image.Image) -> Any:
    """Return the model's vector in float64, of length 1."""
    values = model.embed(model.preprocess(image).unsqueeze(0))[0].astype(np.float64)
    return values / np.linalg.norm(values)


def samples_of(folder: Path | None) -> list[bytes]:
    """Return the folder's JPEGs enlarged, and painted ones of several sizes, none of which is a multiple of eight."""
    sizes = ((1001, 747), (1611, 1203), (2041, 1537), (3003, 2011), (4001, 3007))
    samples = [jpeg(photograph(*size, seed), 75 + 17 * (seed % 2)) for seed, size in enumerate(sizes)]
    for path in sorted(folder.rglob("*.jp*g"))[:: max(1, len(list(folder.rglob("*.jp*g"))) // 10)] if folder else ():
        with Image.open(path) as image:
            factor = UPSCALED / min(image.size)
            size = (round(image.width * factor), round(image.height * factor))
            samples.append(jpeg(image.convert("RGB").resize(size, Image.Resampling.LANCZOS)))
    return samples


def main() -> None:
    """Measure, print and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder of JPEGs to enlarge for the cosines")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each timing")
    given = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(1)
    samples = samples_of(given.images)
    body = (
        f"Images per second on one thread, for a model that resizes to {MODEL_SIDE} pixels; `scaled` keeps twice that"
        " side, `fast` once. First decoding alone, then with the resizing that models do next, of which a smaller"
        " picture needs less. Medians.\n\n"
        f"{speeds(given.seconds)}\n\n## To what a model takes\n\nImages per second on one thread, from bytes to pixels,"
        " of which the values of a batch are made later; its own library, after plain Pillow, makes values at once.\n\n"
        f"{prepared(given.seconds)}\n\n## Memory of one large JPEG\n\nPeak beside the encoded bytes.\n\n{memory()}\n\n"
        "## What it does to vectors\n\nWorst 1 − cosine between the vector of the scaled picture and that of every"
        f" pixel, over {len(samples)} JPEGs; in brackets how many of them a margin (short side left over, by the side"
        " that the model resizes to) lets be scaled. `auto` asks for at most 1e-04. Random weights tell less than"
        f" trained ones: the first row tells the most.\n\n{cosines(samples)}"
    )
    keep("decoding", "Decoding JPEGs", ["pillow", "torch", "torchvision"], body)


if __name__ == "__main__":
    main()
