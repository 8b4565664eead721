"""Decides when torch.compile pays; a network is compiled at its first call or, if that fails, runs uncompiled."""

import threading
import time
import warnings
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

BREAK_EVEN = {"cpu": 100_000}
"""The number of images from which `auto` compiles a convolutional network, by kind of device; others weren't measured.

By `benchmarks/networks.py` squeezenet1_1 gets a tenth faster, resnet50 stays as it is, and mobilenet_v3_large gets
slower. Compiling takes 15 to 25 seconds, so it pays from 59,000 images on at the earliest. With this many images, an
attempt in vain costs little.
"""
FASTER, TURNS = 1.03, 3
"""`auto` keeps a compiled network that is at least so many times faster, by the best of so many turns."""
SMALLEST = 16
"""Smaller batches run uncompiled: torch chooses other kernels for them, which would need another graph."""


def worth_compiling(network: nn.Module, compiling: Literal["auto", "on", "off"], device: str, images: int) -> bool:
    """Return whether to compile `network` for this many images on that device, by the setting `model.compile`."""
    if compiling != "auto":
        return compiling == "on"
    enough = BREAK_EVEN.get(torch.device(device).type)
    return enough is not None and images >= enough and _is_convolutional(network)


def _is_convolutional(network: nn.Module) -> bool:
    # Transformers spend nearly all their time on matrix products, which compiling doesn't change.
    layers = list(network.modules())
    return 2 * sum(isinstance(layer, nn.Conv2d) for layer in layers) > sum(
        isinstance(layer, (nn.Conv2d, nn.Linear)) for layer in layers
    )


class Compiled:
    """A network that is compiled once, for batches of every usual size; if that fails, it runs uncompiled."""

    def __init__(self, network: nn.Module, name: str, usual: int, *, tried: bool = False) -> None:
        """Compile nothing yet.

        Args:
            network: turns images (n, ...) into vectors (n, dimension).
            name: the model's name, for the warning where compiling fails.
            usual: the largest size of batches to expect; much smaller ones aren't worth a graph of their own.
            tried: whether to stay compiled only if that is faster on the first batch of a usual size.
        """
        self._network, self._name, self._untried = network, name, tried
        self._smallest = min(SMALLEST, usual)
        # Fused kernels round less often; in bf16, vectors would differ by up to 5e-4 from those of the network itself.
        options: dict[str, str | int | bool | Callable[..., object]] = {"emulate_precision_casts": True}
        if all(weight.device.type == "cpu" for weight in network.parameters()):
            # Called from Python, kernels would hold its lock, so that only one thread could compute.
            options["cpp_wrapper"] = True
        compiled = torch.compile(network, options=options)
        self._compiled: Callable[[Tensor], Tensor] | None = compiled
        self._first, self._settled = threading.Lock(), False

    def __call__(self, images: Tensor) -> Tensor:
        """Return the vectors of `images` (n, ...): shape (n, dimension). Warns once if the network can't be compiled.

        Threads may share it: while one of them compiles, the others run the network uncompiled.
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
                if len(images) > 1:  # the compiler takes 1 for a constant
                    torch._dynamo.mark_dynamic(images, 0)
                return compiled(images)
            except (torch.OutOfMemoryError, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001  dynamo, inductor and the C++ compiler raise dozens of types
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
        f"{name} is run uncompiled: torch.compile failed ({type(error).__name__}: {reason}); vectors are the same,"
        " but take longer. `model.compile: off` avoids the attempt",
        RuntimeWarning,
        stacklevel=3,
    )
