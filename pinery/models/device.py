"""Where a model computes, in which precision, and how many images at once."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch

from pinery.config import ModelSettings
from pinery.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp16"]
BATCH_SIZE = {"cpu": 32, "mps": 64, "cuda": 256}
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_device(name: str) -> str:
    """`name` itself, or for `auto` the best device at hand: CUDA, Apple's MPS or the CPU.

    Raises:
        ConfigError: the name is no device, or this machine doesn't have it.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"Unknown device {name!r}; use auto, cpu, cuda, cuda:<number> or mps.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"Device {name!r} is not there: this machine has {torch.cuda.device_count()} CUDA devices.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("Device 'mps' is not there; use auto.")
    return name


def resolve_precision(settings: ModelSettings) -> Precision:
    """The precision to compute in; `auto` is fp32."""
    return "fp32" if settings.precision == "auto" else settings.precision


def resolve_batch_size(settings: ModelSettings, device: str) -> int:
    """Images per batch; `auto` is a fixed number by the kind of device."""
    return BATCH_SIZE.get(torch.device(device).type, 32) if settings.batch == "auto" else settings.batch


def computing(device: str, precision: str) -> AbstractContextManager[Any]:
    """The context to run a forward pass in: autocast for bf16 and fp16, nothing for fp32."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=AUTOCAST[precision])
