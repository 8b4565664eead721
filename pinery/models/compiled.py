"""torch.compile: when it pays, and a network that is compiled at its first call or runs as it is."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

BREAK_EVEN = {"cpu": 20_000}
"""Images from which `auto` compiles a convolutional network, by kind of device; elsewhere it was not measured.

`benchmarks/networks.py` on two cores with AVX-512 bf16, which other work shared: it paid from 6,500 (resnet50), 13,000
(squeezenet1_1) and 27,000 images (mobilenet_v3_large).
"""

SMALLEST = 16
"""Images in a batch below which torch chooses other kernels, which would make another graph."""


def worth_compiling(network: nn.Module, compiling: Literal["auto", "on", "off"], device: str, images: int) -> bool:
    """Whether to compile `network` for so many images on that device, as the setting `model.compile` says."""
    if compiling != "auto":
        return compiling == "on"
    enough = BREAK_EVEN.get(torch.device(device).type)
    return enough is not None and images >= enough and _is_convolutional(network)


def _is_convolutional(network: nn.Module) -> bool:
    # In transformers nearly all time goes into matrix products, which compiling leaves as they are.
    layers = list(network.modules())
    return 2 * sum(isinstance(layer, nn.Conv2d) for layer in layers) > sum(
        isinstance(layer, (nn.Conv2d, nn.Linear)) for layer in layers
    )


class Compiled:
    """A network that compiles itself once, for batches of every usual size; if that fails, it runs as it is."""

    def __init__(self, network: nn.Module, name: str, usual: int) -> None:
        """`usual` is the largest size of batches to expect; much smaller ones aren't worth a graph of their own."""
        self._network, self._name = network, name
        self._smallest = min(SMALLEST, usual)
        # Fused kernels round less often; vectors in bf16 would differ by up to 5e-4 from those of the network itself.
        compiled = torch.compile(network, options={"emulate_precision_casts": True})
        self._compiled: Callable[[Tensor], Tensor] | None = compiled

    def __call__(self, images: Tensor) -> Tensor:
        """What the network gives for `images`, (n, ...) → (n, dimension). Warns once if it can't be compiled."""
        if self._compiled is not None and len(images) >= self._smallest:
            try:
                if len(images) > 1:  # to the compiler 1 is a constant
                    torch._dynamo.mark_dynamic(images, 0)
                return self._compiled(images)
            except (torch.OutOfMemoryError, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001  dynamo, inductor and the C++ compiler have dozens of types
                self._compiled = None
                _warn(self._name, error)
        vectors: Tensor = self._network(images)
        return vectors


def _warn(name: str, error: Exception) -> None:
    reason = (str(error).splitlines() or [""])[0][:200]
    warnings.warn(
        f"{name} is run uncompiled: torch.compile failed ({type(error).__name__}: {reason}). The vectors are the same,"
        " only slower to come; `model.compile: off` avoids the attempt.",
        RuntimeWarning,
        stacklevel=3,
    )
