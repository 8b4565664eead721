"""The one way in which a torch network is run: device, precision, memory layout, and compiled or not."""

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

from pinery.errors import NoTextTowerError
from pinery.imaging.nvjpeg import DeviceJpegs, Finish
from pinery.imaging.quick import CentreCrop
from pinery.models.compiled import Compiled, worth_compiling
from pinery.models.device import DTYPES, Precision, resolve_batch_size, resolve_device
from pinery.records import ModelCard
from pinery.target_settings import ModelSettings

Preprocess = Callable[[Image.Image], Tensor]
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
        centre_crop: CentreCrop | None = None,
        finish: Finish | None = None,
        normalise: Normalise | None = None,
        tokenise: Tokenise | None = None,
    ) -> None:
        """Take `network` over: it is moved and converted in place.

        Raises ConfigError where this machine doesn't have the device of the settings.

        Args:
            network: gives vectors (images, dimension) for preprocessed images (images, 3, height, width).
            preprocess: turns one upright RGB image into a tensor (3, height, width); raises BadImageError.
            card: says in which precision to compute.
            settings: say the device, the batch size and when to compile.
            resize_side: the length in pixels that `preprocess` resizes an image's short side to, at most.
            centre_crop: the resizing and cropping of `preprocess`, where it does nothing else to the pixels.
            finish: does to images on the device what `preprocess` does; None where the device can't preprocess.
            normalise: turns a batch of what `preprocess` gives, and a dtype, into what `network` takes; None where
                `network` takes what `preprocess` gives.
            tokenise: turns texts into the keyword arguments of `network.embed_texts`, each (texts, length); None where
                there is no text tower.
        """
        self.card, self.device = card, resolve_device(settings.device)
        self.batch_size = resolve_batch_size(settings, self.device)
        self.preprocess, self.resize_side, self.centre_crop = preprocess, resize_side, centre_crop
        self._settings, self._finish = settings, finish
        self._normalise, self._tokenise = normalise, tokenise
        self._jpegs: DeviceJpegs | None = None
        if finish is not None and self.device.startswith("cuda"):
            self._jpegs = DeviceJpegs(self.device, finish, resize_side)
        self._dtype = DTYPES[card.precision]
        # Weights are converted once here; autocast would convert them for each batch.
        network = network.eval().requires_grad_(False).to(self.device, self._dtype)
        self._network: nn.Module = cast(Any, network).to(memory_format=torch.channels_last)
        self._run: Callable[[Tensor], Tensor] = self._network

    def expect(self, images: int, threads: int) -> None:
        """Compile the network where that pays for at most this many images, or where the setting `compile` says so.

        A network that is never told to expect images, as in a search, is run uncompiled. Of JPEGs that the device
        decodes, so many `threads` check the data.
        """
        if self._jpegs is not None:
            self._jpegs = DeviceJpegs(self.device, cast(Finish, self._finish), self.resize_side, threads)
        compiling = self._settings.compile
        if self._run is self._network and worth_compiling(self._network, compiling, self.device, images):
            self._run = Compiled(self._network, self.card.name, self.batch_size, tried=compiling == "auto")

    def prepare_on_device(self, encoded: Sequence[bytes], max_pixels: int) -> list[Tensor | None]:
        """See Model."""
        return [None] * len(encoded) if self._jpegs is None else self._jpegs(encoded, max_pixels)

    def embed(self, batch: Tensor) -> npt.NDArray[np.float32]:
        """Return the vectors of preprocessed images (images, 3, height, width): shape (images, dimension), float32."""
        with torch.inference_mode():
            images = batch.to(self.device, non_blocking=True)
            if self._normalise is not None:
                return _array(self._run(self._normalise(images, self._dtype)))
            layout = torch.channels_last if batch.ndim == 4 else torch.contiguous_format
            return _array(self._run(images.to(self._dtype, memory_format=layout)))

    def embed_text(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Return the vectors of texts, which are cut to what the model can read: shape (texts, dimension), float32.

        Raises NoTextTowerError where there is no text tower, or no tokenizer for it.
        """
        if self._tokenise is None:
            raise NoTextTowerError(
                f"{self.card.name} embeds no texts: it has no text tower; use `image` or a clip: model"
            )
        inputs = {name: tokens.to(self.device) for name, tokens in self._tokenise(texts).items()}
        with torch.inference_mode():
            return _array(cast(Any, self._network).embed_texts(**inputs))

    def in_precision(self, precision: Precision) -> TorchModel:
        """Return a copy that computes in `precision`, and whose card says so."""
        card = replace(self.card, precision=precision)
        return TorchModel(
            copy.deepcopy(self._network),
            self.preprocess,
            card,
            self._settings,
            resize_side=self.resize_side,
            centre_crop=self.centre_crop,
            finish=self._finish,
            normalise=self._normalise,
            tokenise=self._tokenise,
        )


def _array(vectors: Tensor) -> npt.NDArray[np.float32]:
    return cast(npt.NDArray[np.float32], vectors.float().cpu().numpy())
