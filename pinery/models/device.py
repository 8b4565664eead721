"""Chooses the device that a model computes on, the precision, and how many images it takes at once."""

from typing import Literal, cast

import torch

from pinery.cores import cores
from pinery.errors import ConfigError
from pinery.target_settings import ModelSettings

Precision = Literal["fp32", "bf16", "fp16"]
BATCH_SIZE = {"cpu": 32, "mps": 64, "cuda": 256}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def keep_to_cores() -> None:
    """Have torch compute on no more threads than this process has cores; by itself it knows no container's quota."""
    if torch.get_num_threads() > cores():
        torch.set_num_threads(cores())


def resolve_device(name: str) -> str:
    """Return `name` itself, or for `auto` the best device at hand: CUDA, Apple's MPS or the CPU.

    Raises ConfigError where the name is not that of a device, or this machine doesn't have it.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:<number> or mps") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {name!r} is not there: this machine has {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("device 'mps' is not there; use auto")
    return name


def resolve_precision(settings: ModelSettings) -> Precision:
    """Return the precision to load a model in; `auto` means fp32 until a probe of the corpus' images says otherwise."""
    return "fp32" if settings.precision == "auto" else settings.precision


def lower_precision(device: str) -> Precision | None:
    """Return the precision below fp32 that may be faster on this device, or None where there is none."""
    kind = torch.device(device).type
    if kind == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if kind == "cpu":
        # On a CPU without instructions for it, bf16 is a hundred times slower, and a probe would take minutes.
        return "bf16" if cast(bool, torch.ops.mkldnn._is_mkldnn_bf16_supported()) else None
    return "fp16" if kind == "mps" else None


def resolve_decoder(settings: ModelSettings) -> str:
    """Return the decoder to begin with; `auto` means `exact` until a probe of the corpus' images says otherwise."""
    return "exact" if settings.decode == "auto" else settings.decode


def resolve_batch_size(settings: ModelSettings, device: str) -> int:
    """Return how many images to give to one `embed`; `auto` means a fixed number for each kind of device."""
    return BATCH_SIZE.get(torch.device(device).type, 32) if settings.batch == "auto" else settings.batch
