"""What every model family offers; the runner and the search page know no more than this."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pinery.records import ModelCard

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    import torch
    from PIL import Image


class Model(Protocol):
    """A loaded model. Threads may share the ways to preprocess, on a processor also `embed`."""

    @property
    def card(self) -> ModelCard:
        """Everything that decides a vector's value, with no `auto` left."""

    @property
    def device(self) -> str:
        """Where it computes: `cpu`, `mps`, `cuda` or `cuda:<number>`."""

    @property
    def batch_size(self) -> int:
        """How many images to give to one `embed`."""

    @property
    def resize_side(self) -> int:
        """The side in pixels that `preprocess` resizes an image's shorter one to, at most."""

    def expect(self, images: int) -> None:
        """Told before the first `embed`: how many images are still to be embedded, at most; may cost nothing."""

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """One upright RGB image as the model takes it, on the CPU; every image gives the same shape and dtype.

        Raises:
            BadImageError: the image is too elongated to be resized.
        """

    def prepare_quickly(self, data: bytes, least_side: int) -> torch.Tensor | None:
        """Nearly what decoding and `preprocess` give, straight from an encoded image; None where that is no shorter.

        For decoders that need not be exact; `least_side` as in `pinery.imaging.decode.decode`.
        """

    def prepare_on_device(self, encoded: Sequence[bytes], max_pixels: int) -> list[torch.Tensor | None]:
        """Nearly what decoding and `preprocess` give, made by and on the device; None where that has to be done here.

        For the decoder `cuda`. Images of more than `max_pixels` are not taken. What is given must be kept until the
        vectors are there.
        """

    def embed(self, batch: torch.Tensor) -> npt.NDArray[np.float32]:
        """Vectors of shape (images, dimension), float32, of a stack of preprocessed images (images, ...)."""

    def embed_text(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Vectors of shape (texts, dimension), float32, comparable with those of images.

        Raises:
            ConfigError: the model has no text tower.
        """
