"""What `auto` means for a corpus: the precision and the decoder that its vectors can't tell from the exact ones."""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from pinery.config import ModelSettings
from pinery.errors import BadImageError
from pinery.imaging.decode import decode, scaled_size
from pinery.imaging.quick import decode_quickly
from pinery.imaging.scaling import least_side
from pinery.models.cores import cores
from pinery.models.network import TorchModel
from pinery.models.precision import settle_precision
from pinery.models.protocol import Model

LEAST_COSINE = 0.9999
"""Of a vector through a faster decoder to the same image's through the exact one, for `auto` to take that decoder."""
FASTER = 1.1
"""Speed of the whole over decoding on the processor that makes decoding on the device worth it."""
TURNS = 3


@dataclass(frozen=True, slots=True)
class OnDevice:
    """Decoding on the model's device beside decoding on the processor."""

    cosine: float
    """The worst of a vector to the exact one."""
    there: float
    """Images per second on the device, with what it leaves to the processor."""
    here: float
    """Images per second on the processor."""
    alone: float
    """Images per second of the model."""

    @property
    def good(self) -> bool:
        """Whether `auto` may take it: as if the device could not compute while it decodes, which some can't."""
        together = 1 / (1 / self.there + 1 / self.alone)
        return self.cosine >= LEAST_COSINE and together >= FASTER * min(self.here, self.alone)

    @property
    def figures(self) -> dict[str, float]:
        """For the card."""
        return {
            "cuda_decode_cosine": round(self.cosine, 6),
            "cuda_decodes_per_second": round(self.there, 1),
            "cpu_decodes_per_second": round(self.here, 1),
            "model_images_per_second": round(self.alone, 1),
        }


def settle(model: Model, settings: ModelSettings, samples: Callable[[], Sequence[bytes]], max_pixels: int) -> Model:
    """`model`, or a copy, with what the settings leave to `auto` decided on encoded images of the corpus.

    `samples` gives these images, and is asked only if they are needed. The card has what was decided and the figures
    that it was decided by; without images nothing changes.
    """
    images = functools.cache(samples)
    if settings.precision == "auto" and isinstance(model, TorchModel):
        model = settle_precision(model, _pictures(images(), max_pixels))
    if settings.decode == "auto" and images():
        decoder, cosine = choose_decoder(model, images(), max_pixels)
        figures = {"decode_cosine": round(cosine, 6)} if decoder != "exact" or cosine < 1 else {}
        there = compare_on_device(model, images(), max_pixels, _decode_threads(settings))
        if cosine >= LEAST_COSINE and there and there.good:
            decoder = "cuda"
        figures |= there.figures if there else {}
        if figures:
            model.card = replace(model.card, decoder=decoder, probe={**model.card.probe, **figures})
    return model


def _decode_threads(settings: ModelSettings) -> int:
    """Of a process that has one of this machine's devices."""
    devices = torch.cuda.device_count() if settings.device in ("auto", "cuda") else 1
    return max(1, cores() // max(1, devices))


def _pictures(samples: Sequence[bytes], max_pixels: int) -> Iterator[Image.Image]:
    for data in samples:
        with contextlib.suppress(BadImageError):
            yield decode(data, max_pixels)


def choose_decoder(model: Model, samples: Sequence[bytes], max_pixels: int) -> tuple[str, float]:
    """What `decode: auto` is for this model and images like these, and the worst cosine to `exact` that was measured.

    `exact` with a cosine of 1 where no sample is decoded otherwise by a faster decoder; samples that are no images, or
    give vectors without a direction, are passed over.

    Args:
        model: its vectors decide, whatever its card says of the decoder.
        samples: encoded images, as the source has them.
        max_pixels: larger ones are passed over.
    """
    side = least_side("scaled", model.resize_side)
    cosines = [cosine for data in samples if (cosine := _cosine(model, data, max_pixels, side)) is not None]
    worst = min(cosines, default=1.0)
    return ("scaled" if cosines and worst >= LEAST_COSINE else "exact"), worst


def compare_on_device(model: Model, samples: Sequence[bytes], max_pixels: int, threads: int) -> OnDevice | None:
    """What decoding on the model's device does to vectors, and how fast it is; None where it takes none of the samples.

    `threads` is how many would decode on the processor; other arguments as of `choose_decoder`.
    """
    side = least_side("scaled", model.resize_side)

    def prepare(data: bytes) -> torch.Tensor | None:
        try:
            image = decode_quickly(data, model.centre_crop, side, max_pixels)
            return model.preprocess(decode(data, max_pixels, side)) if image is None else image
        except BadImageError:
            return None

    images = model.prepare_on_device(samples, max_pixels)
    taken = [(data, image) for data, image in zip(samples, images, strict=True) if image is not None]
    cosines = [cosine for data, image in taken if (cosine := _to_exact(model, data, max_pixels, image)) is not None]
    # Nothing is decoded again where the device took nothing, as on every processor.
    usable = [data for data in samples if prepare(data) is not None] if cosines else []
    if not usable:
        return None
    encoded = list(itertools.islice(itertools.cycle(usable), model.batch_size))
    own = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:

            def on_device() -> list[torch.Tensor]:
                there = model.prepare_on_device(encoded, max_pixels)
                left = [data for data, image in zip(encoded, there, strict=True) if image is None]
                return [image for image in (*there, *pool.map(prepare, left)) if image is not None]

            here = _per_second(lambda: list(pool.map(prepare, encoded)), len(encoded))
            there = _per_second(on_device, len(encoded))
            ready = on_device()
    finally:
        torch.set_num_threads(own)  # threads to come take over what was set last
    stacked = torch.stack([image.to(model.device) for image in ready])
    return OnDevice(min(cosines), there, here, _per_second(lambda: model.embed(stacked), len(stacked)))


def _per_second(work: Callable[[], object], images: int) -> float:
    best = float("inf")
    for _ in range(1 + TURNS):  # the first one allocates
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return images / best


def _cosine(model: Model, data: bytes, max_pixels: int, side: int | None) -> float | None:
    """None where the faster decoder does nothing else with this image, or there is nothing to compare."""
    try:
        other = decode_quickly(data, model.centre_crop, side, max_pixels)
        if other is None and scaled_size(data, side):
            other = model.preprocess(decode(data, max_pixels, side))
    except BadImageError:
        return None
    return None if other is None else _to_exact(model, data, max_pixels, other)


def _to_exact(model: Model, data: bytes, max_pixels: int, other: torch.Tensor) -> float | None:
    """The cosine of the vector of `other`, made of `data`, to the exact one; None where there is nothing to compare."""
    try:
        exact, scaled = (_embedded(model, image) for image in (model.preprocess(decode(data, max_pixels)), other))
    except BadImageError:
        return None
    lengths = float(np.linalg.norm(exact) * np.linalg.norm(scaled))
    return float(exact @ scaled) / lengths if np.isfinite(lengths) and lengths > 0 else None


def _embedded(model: Model, image: torch.Tensor) -> npt.NDArray[np.float64]:
    # One at a time, and in float64: a batch's own rounding must not be taken for the decoder's.
    vector: npt.NDArray[np.float64] = model.embed(image.unsqueeze(0))[0].astype(np.float64)
    return vector
