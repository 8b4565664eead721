"""Decides the precision `auto`: a lower one than fp32 where that is faster and vectors stay close to those in fp32."""

import time
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from pinery.errors import BadImageError
from pinery.models.device import lower_precision
from pinery.models.network import TorchModel

IMAGES = 32
"""The most images that the probe looks at."""
CLOSE = 0.999
"""The least cosine of an image's vector to its vector in fp32."""
FASTER = 1.1
"""A lower precision must be so many times faster than fp32; less is within the noise of the measurement."""
CPU_BATCH = 8
LEAST_TURNS, MOST_TURNS, SECONDS = 3, 12, 3.0
"""Each precision is timed at least and at most so many times, and no more once the seconds have passed."""


def settle_precision(model: TorchModel, images: Iterable[Image.Image]) -> TorchModel:
    """Return `model`, which is in fp32, or a copy in bf16 or fp16 where that is faster and its vectors are close.

    The card of the model that is returned has the probe's figures. Where there is no image to judge by, or the device
    has no fast lower precision, the model stays in fp32 and its card has no figures.
    """
    precision = lower_precision(model.device)
    batch = _sample(model, images) if precision else None
    if precision is None or batch is None:
        return model
    try:
        trial = model.in_precision(precision)
        cosine = _lowest_cosine(model.embed(batch), trial.embed(batch))
        speed, trial_speed = _speeds(model, trial, batch)
    except (RuntimeError, MemoryError):  # an operation that this precision lacks, or no memory for both models
        return model
    chosen = trial if cosine >= CLOSE and trial_speed >= FASTER * speed else model
    figures = {"precision_cosine": round(cosine, 6), "precision_images": float(len(batch))}
    figures |= {"fp32_images_per_second": round(speed, 1), f"{precision}_images_per_second": round(trial_speed, 1)}
    chosen.card = replace(chosen.card, probe=figures)
    return chosen


def _sample(model: TorchModel, images: Iterable[Image.Image]) -> Tensor | None:
    sample: list[Tensor] = []
    for image in images:
        try:
            sample.append(model.preprocess(image))
        except BadImageError:
            continue
        if len(sample) == IMAGES:
            break
    return torch.stack(sample) if sample else None


def _lowest_cosine(exact: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(other, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = (exact * other).sum(axis=1) / lengths
    return float(np.nan_to_num(cosines, nan=-1.0).min())


def _speeds(first: TorchModel, second: TorchModel, batch: Tensor) -> tuple[float, float]:
    """Return images per second of both models on preprocessed images (images, ...), by their best turns."""
    # A few images keep a CPU busy, while a GPU needs a whole batch.
    size = min(CPU_BATCH, len(batch)) if first.device == "cpu" else first.batch_size
    images = batch[torch.arange(size) % len(batch)]
    best = [float("inf"), float("inf")]
    started = time.perf_counter()
    for turn in range(MOST_TURNS):
        if turn >= LEAST_TURNS and time.perf_counter() - started > SECONDS:
            break
        for at, model in enumerate((first, second)):
            began = time.perf_counter()
            model.embed(images)
            best[at] = min(best[at], time.perf_counter() - began)
    return size / best[0], size / best[1]
