"""Decides what `auto` means for a corpus: the fastest precision and decoder that keep its vectors close to exact."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from PIL import Image

from pinery.cores import cores, workers_of_gpu
from pinery.errors import BadImageError
from pinery.imaging.choice import LEAST_COSINE, choose_decoder, compare_on_device
from pinery.imaging.decode import decode
from pinery.models.network import TorchModel
from pinery.models.precision import settle_precision
from pinery.models.protocol import Model
from pinery.target_settings import ModelSettings


def settle(model: Model, settings: ModelSettings, samples: Callable[[], Sequence[bytes]], max_pixels: int) -> Model:
    """Return `model`, or a copy of it, with the settings that are `auto` decided on encoded images of the corpus.

    `samples` returns these images, of at most `max_pixels` pixels each, and is called only if they are needed. The card
    of the model that is returned says what was decided, and by which figures; without images nothing changes.
    """
    images = functools.cache(samples)
    if settings.precision == "auto" and isinstance(model, TorchModel):
        model = settle_precision(model, _pictures(images(), max_pixels))
    if settings.decode == "auto" and images():
        decoder, cosine = choose_decoder(model, images(), max_pixels)
        figures = {"decode_cosine": round(cosine, 6)} if decoder != "exact" or cosine < 1 else {}
        on_device = compare_on_device(model, images(), max_pixels, *_decoding(settings))
        if cosine >= LEAST_COSINE and on_device and on_device.good:
            decoder = "cuda"
        figures |= on_device.figures if on_device else {}
        if figures:
            model.card = replace(model.card, decoder=decoder, probe={**model.card.probe, **figures})
    if model.device.startswith("cuda"):
        torch.cuda.empty_cache()  # what the probes used would be kept from the workers on this device
    return model


def _decoding(settings: ModelSettings) -> tuple[int, int]:
    """Return on how many threads a worker decodes for one of this machine's GPUs, and how many workers do so."""
    devices = torch.cuda.device_count() if settings.device in ("auto", "cuda") else 1
    own = max(1, cores() // max(1, devices))
    workers = workers_of_gpu(own)
    return own // workers, workers


def _pictures(samples: Sequence[bytes], max_pixels: int) -> Iterator[Image.Image]:
    for data in samples:
        with contextlib.suppress(BadImageError):
            yield decode(data, max_pixels)
