"""torch.compile: when it pays, and a network that is compiled at its first call or runs as it is."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

BREAK_EVEN = {"cpu": 100_000}
"""Images from which `auto` compiles a convolutional network, by kind of device; elsewhere it was not measured.

By `benchmarks/networks.py` squeezenet1_1 gains a tenth, resnet50 nothing, and mobilenet_v3_large gets slower;
compiling takes 15 to 25 seconds. It pays from 59,000 images on at the earliest; from so many on, having tried in vain
costs little.
"""
FASTER, TURNS = 1.03, 3
"""What a compiled network must gain for `auto` to keep it, by the best of so many turns."""
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

    def __init__(self, network: nn.Module, name: str, usual: int, *, tried: bool = False) -> None:
        """`usual` is the largest size of batches to expect; much smaller ones aren't worth a graph of their own.

        With `tried` it goes on compiled only if that is faster on its first usual batch.
        """
        self._network, self._name, self._untried = network, name, tried
        self._smallest = min(SMALLEST, usual)
        # Fused kernels round less often; vectors in bf16 would differ by up to 5e-4 from those of the network itself.
        options: dict[str, str | int | bool | Callable[..., object]] = {"emulate_precision_casts": True}
        if all(weight.device.type == "cpu" for weight in network.parameters()):
            options["cpp_wrapper"] = (
                True  # called from Python, kernels would hold its lock, and only one thread compute
            )
        compiled = torch.compile(network, options=options)
        self._compiled: Callable[[Tensor], Tensor] | None = compiled
        self._first, self._settled = threading.Lock(), False

    def __call__(self, images: Tensor) -> Tensor:
        """What the network gives for `images`, (n, ...) → (n, dimension). Warns once if it can't be compiled.

        Threads may share it: while one has it compiled, the others go on with the network as it is.
        """
        if self._compiled is None or len(images) < self._smallest:
            return self._plain(images)
        if self._settled:
            return self._guarded(images)
        if not self._first.acquire(blocking=False):
            return self._plain(images)
        try:
            found = self._guarded(images)
            if self._untried and self._compiled is not None and not self._gains(images, self._compiled):
                self._compiled = None
            self._settled = True
            return found
        finally:
            self._first.release()

    def _plain(self, images: Tensor) -> Tensor:
        vectors: Tensor = self._network(images)
        return vectors

    def _guarded(self, images: Tensor) -> Tensor:
        if (compiled := self._compiled) is not None:
            try:
                if len(images) > 1:  # to the compiler 1 is a constant
                    torch._dynamo.mark_dynamic(images, 0)
                return compiled(images)
            except (torch.OutOfMemoryError, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001  dynamo, inductor and the C++ compiler have dozens of types
                if self._compiled is not None:
                    self._compiled = None
                    _warn(self._name, error)
        return self._plain(images)

    def _gains(self, images: Tensor, compiled: Callable[[Tensor], Tensor]) -> bool:
        ways: tuple[Callable[[Tensor], Tensor], ...] = (self._network, compiled)
        best = [float("inf"), float("inf")]
        for _ in range(TURNS):
            for at, run in enumerate(ways):
                began = time.perf_counter()
                run(images)
                best[at] = min(best[at], time.perf_counter() - began)
        return best[0] >= FASTER * best[1]


def _warn(name: str, error: Exception) -> None:
    reason = (str(error).splitlines() or [""])[0][:200]
    warnings.warn(
        f"{name} is run uncompiled: torch.compile failed ({type(error).__name__}: {reason}). The vectors are the same,"
        " only slower to come; `model.compile: off` avoids the attempt.",
        RuntimeWarning,
        stacklevel=3,
    )
