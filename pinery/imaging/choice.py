"""Decides which decoder `auto` means for a model and a corpus: the fastest that keeps its vectors close to exact."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from pinery.errors import BadImageError
from pinery.imaging.decode import decode
from pinery.imaging.prepare import Preprocessing, prepare_if_faster, prepare_on_cpu

LEAST_COSINE = 0.9999
"""The least cosine of an image's vector by a faster decoder to the exact one, for `auto` to take that decoder."""
FASTER = 1.1
"""The whole must be so many times faster with decoding on the device than with decoding on the CPU."""
TURNS = 3
"""The number of times that each speed is measured, of which the best counts."""


class Embedding(Preprocessing, Protocol):
    """The part of a model that the choice of its decoder needs; see `Model`."""

    @property
    def device(self) -> str:
        """See Model."""

    @property
    def batch_size(self) -> int:
        """See Model."""

    def embed(self, batch: torch.Tensor) -> npt.NDArray[np.float32]:
        """See Model."""


@dataclass(frozen=True, slots=True)
class OnDevice:
    """Decoding on the model's device, compared with decoding on the CPU."""

    cosine: float
    """The lowest cosine of a vector to the exact one."""
    device_rate: float
    """The images per second that the device decodes, including those that it leaves to the CPU."""
    cpu_rate: float
    """The images per second that the CPU decodes in all workers."""
    model_rate: float
    """The images per second that the model computes."""

    @property
    def good(self) -> bool:
        """True where `auto` may take it. Some devices can't compute while they decode, so the two times are added."""
        together = 1 / (1 / self.device_rate + 1 / self.model_rate)
        return self.cosine >= LEAST_COSINE and together >= FASTER * min(self.cpu_rate, self.model_rate)

    @property
    def figures(self) -> dict[str, float]:
        """The figures for the card."""
        return {
            "cuda_decode_cosine": round(self.cosine, 6),
            "cuda_decodes_per_second": round(self.device_rate, 1),
            "cpu_decodes_per_second": round(self.cpu_rate, 1),
            "model_images_per_second": round(self.model_rate, 1),
        }


def choose_decoder(model: Embedding, samples: Sequence[bytes], max_pixels: int) -> tuple[str, float]:
    """Return the decoder that `auto` means for this model and such images, and their lowest cosine to `exact`.

    The decoder is `exact`, with a cosine of 1, where a faster decoder decodes all samples in the same way. Samples that
    are no images, or whose vectors have no direction, are passed over.

    Args:
        model: its vectors decide, whatever its card says of the decoder.
        samples: encoded images, as the source has them.
        max_pixels: images with more pixels are passed over.
    """
    cosines = [cosine for data in samples if (cosine := _cosine(model, data, max_pixels)) is not None]
    worst = min(cosines, default=1.0)
    return ("scaled" if cosines and worst >= LEAST_COSINE else "exact"), worst


def compare_on_device(
    model: Embedding, samples: Sequence[bytes], max_pixels: int, threads: int, workers: int
) -> OnDevice | None:
    """Compare decoding on the model's device with decoding on the CPU; return None where the device decodes no sample.

    On the CPU `workers` processes would decode, on so many `threads` each. One of them is measured and counted so many
    times, because more threads of one process would wait for Python's lock, and processes don't. The other arguments
    are those of `choose_decoder`.
    """

    def prepare(data: bytes) -> torch.Tensor | None:
        try:
            return prepare_on_cpu(data, "scaled", model, max_pixels)
        except BadImageError:
            return None

    images = model.prepare_on_device(samples, max_pixels)
    taken = [(data, image) for data, image in zip(samples, images, strict=True) if image is not None]
    cosines = [cosine for data, image in taken if (cosine := _to_exact(model, data, max_pixels, image)) is not None]
    # Where the device decoded nothing, as a CPU does, there is nothing to compare.
    usable = [data for data in samples if prepare(data) is not None] if cosines else []
    if not usable:
        return None
    encoded = list(itertools.islice(itertools.cycle(usable), model.batch_size))
    there = model.prepare_on_device(encoded, max_pixels)
    left = [data for data, image in zip(encoded, there, strict=True) if image is None]
    own = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:

            def seconds_on_cpu(data: Sequence[bytes]) -> float:
                return _seconds(lambda: list(pool.map(prepare, data))) / workers if data else 0.0

            on_cpu, rest = seconds_on_cpu(encoded), seconds_on_cpu(left)
            by_cpu = list(pool.map(prepare, left))
    finally:
        torch.set_num_threads(own)  # new threads inherit what was set last
    on_device = _seconds(lambda: model.prepare_on_device(encoded, max_pixels)) + rest
    stacked = torch.stack([image.to(model.device) for image in (*there, *by_cpu) if image is not None])
    computing = _seconds(lambda: model.embed(stacked))
    return OnDevice(min(cosines), len(encoded) / on_device, len(encoded) / on_cpu, len(stacked) / computing)


def _seconds(work: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(1 + TURNS):  # the first turn also allocates memory
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best


def _cosine(model: Embedding, data: bytes, max_pixels: int) -> float | None:
    """Return the cosine of an image's vector by a faster decoder to the exact one; None where both decode it alike."""
    try:
        other = prepare_if_faster(data, "scaled", model, max_pixels)
    except BadImageError:
        return None
    return None if other is None else _to_exact(model, data, max_pixels, other)


def _to_exact(model: Embedding, data: bytes, max_pixels: int, other: torch.Tensor) -> float | None:
    """Return the cosine between the exact vector of `data` and that of `other`, the same image decoded in another way.

    Returns None where `data` is no image, or a vector has no direction.
    """
    try:
        exact, scaled = (_embedded(model, image) for image in (model.preprocess(decode(data, max_pixels)), other))
    except BadImageError:
        return None
    lengths = float(np.linalg.norm(exact) * np.linalg.norm(scaled))
    return float(exact @ scaled) / lengths if np.isfinite(lengths) and lengths > 0 else None


def _embedded(model: Embedding, image: torch.Tensor) -> npt.NDArray[np.float64]:
    # One image at a time, and in float64, so that the rounding within a batch isn't taken for the decoder's effect.
    vector: npt.NDArray[np.float64] = model.embed(image.unsqueeze(0))[0].astype(np.float64)
    return vector
