"""The one way a torch network is run: where, in which precision and memory layout, compiled or not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from pinery.config import ModelSettings
from pinery.errors import ConfigError
from pinery.models.compiled import Compiled, worth_compiling
from pinery.models.device import DTYPES, Precision, resolve_batch_size, resolve_device
from pinery.models.nvjpeg import DeviceJpegs, Finish
from pinery.records import ModelCard

Preprocess = Callable[[Image.Image], Tensor]
Quickly = Callable[[bytes, int], Tensor | None]
Normalise = Callable[[Tensor, torch.dtype], Tensor]
Tokenise = Callable[[list[str]], dict[str, Tensor]]


class TorchModel:
    """A network with its preprocessing and its card; every family but `descriptor` builds one."""

    def __init__(
        self,
        network: nn.Module,
        preprocess: Preprocess,
        card: ModelCard,
        settings: ModelSettings,
        *,
        resize_side: int,
        quickly: Quickly | None = None,
        finish: Finish | None = None,
        normalise: Normalise | None = None,
        tokenise: Tokenise | None = None,
    ) -> None:
        """Take `network` over: it is moved and converted in place.

        Args:
            network: gives vectors (images, dimension) for preprocessed images (images, 3, height, width).
            preprocess: one upright RGB image to (3, height, width); raises BadImageError.
            card: in whose precision to compute.
            settings: their device, batch size and `compile`; raises ConfigError where this machine has no such device.
            resize_side: the side in pixels that `preprocess` resizes an image's shorter one to, at most.
            quickly: see `Model.prepare_quickly`; None where there is no shorter way.
            finish: what `preprocess` does, to images on the device; None where there they can't be preprocessed.
            normalise: batches of what `preprocess` gives, and a dtype, to what `network` takes; None where it takes
                what `preprocess` gives.
            tokenise: texts to the keyword arguments of `network.embed_texts`, each (texts, length); None without a
                text tower.
        """
        self.card, self.device = card, resolve_device(settings.device)
        self.batch_size = resolve_batch_size(settings, self.device)
        self.preprocess, self.resize_side = preprocess, resize_side
        self._settings, self._quickly, self._finish = settings, quickly, finish
        self._normalise, self._tokenise = normalise, tokenise
        self._jpegs: DeviceJpegs | None = None
        if finish is not None and self.device.startswith("cuda"):
            self._jpegs = DeviceJpegs(self.device, finish, resize_side)
        self._dtype = DTYPES[card.precision]
        # Weights are converted once; autocast would do so in each batch.
        network = network.eval().requires_grad_(False).to(self.device, self._dtype)
        self._network: nn.Module = cast(Any, network).to(memory_format=torch.channels_last)
        self._run: Callable[[Tensor], Tensor] = self._network

    def expect(self, images: int) -> None:
        """Prepare for that many images: by the settings' `compile`, the network is compiled if that pays.

        Without being told, as in a search, it is run as it is.
        """
        compiling = self._settings.compile
        if self._run is self._network and worth_compiling(self._network, compiling, self.device, images):
            self._run = Compiled(self._network, self.card.name, self.batch_size, tried=compiling == "auto")

    def prepare_quickly(self, data: bytes, least_side: int) -> Tensor | None:
        """See Model."""
        return None if self._quickly is None else self._quickly(data, least_side)

    def prepare_on_device(self, encoded: Sequence[bytes], max_pixels: int) -> list[Tensor | None]:
        """See Model."""
        return [None] * len(encoded) if self._jpegs is None else self._jpegs(encoded, max_pixels)

    def embed(self, batch: Tensor) -> npt.NDArray[np.float32]:
        """Vectors (images, dimension), float32, of preprocessed images (images, 3, height, width)."""
        with torch.inference_mode():
            images = batch.to(self.device, non_blocking=True)
            if self._normalise is not None:
                return _array(self._run(self._normalise(images, self._dtype)))
            layout = torch.channels_last if batch.ndim == 4 else torch.contiguous_format
            return _array(self._run(images.to(self._dtype, memory_format=layout)))

    def embed_text(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Vectors (texts, dimension), float32; texts are cut to what the model can read.

        Raises:
            ConfigError: there is no text tower, or no tokenizer for it.
        """
        if self._tokenise is None:
            raise ConfigError(f"{self.card.name} embeds no texts: it has no text tower; use `image` or a clip: model")
        inputs = {name: tokens.to(self.device) for name, tokens in self._tokenise(texts).items()}
        with torch.inference_mode():
            return _array(cast(Any, self._network).embed_texts(**inputs))

    def in_precision(self, precision: Precision) -> TorchModel:
        """A copy that computes in `precision`, and whose card says so."""
        card = replace(self.card, precision=precision)
        return TorchModel(
            copy.deepcopy(self._network),
            self.preprocess,
            card,
            self._settings,
            resize_side=self.resize_side,
            quickly=self._quickly,
            finish=self._finish,
            normalise=self._normalise,
            tokenise=self._tokenise,
        )


def _array(vectors: Tensor) -> npt.NDArray[np.float32]:
    return cast(npt.NDArray[np.float32], vectors.float().cpu().numpy())
