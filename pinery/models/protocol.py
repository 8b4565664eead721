"""The Protocol that every model family implements; the runner and the search know no more of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pinery.records import ModelCard

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    import torch
    from PIL import Image

    from pinery.imaging.quick import CentreCrop


class Model(Protocol):
    """A loaded model. Threads may share its ways to preprocess, and on a CPU also `embed`."""

    card: ModelCard
    """Everything that decides a vector's value, with no `auto` left."""

    @property
    def device(self) -> str:
        """The device that computes: `cpu`, `mps`, `cuda` or `cuda:<number>`."""

    @property
    def batch_size(self) -> int:
        """The number of images to give to one `embed`."""

    @property
    def resize_side(self) -> int:
        """The length in pixels that `preprocess` resizes an image's short side to, at most."""

    @property
    def centre_crop(self) -> CentreCrop | None:
        """The resizing and cropping of `preprocess`, where that is all it does to the pixels; else None."""

    def expect(self, images: int, threads: int) -> None:
        """Prepare for at most this many images, and for work on so many threads of the CPU, which may take nothing.

        It is called before the first `embed`.
        """

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        """Return an upright RGB image as the model takes it, on the CPU; every image gives the same shape and dtype.

        Raises BadImageError where the image is too elongated to be resized.
        """

    def prepare_on_device(self, encoded: Sequence[bytes], max_pixels: int) -> list[torch.Tensor | None]:
        """Decode and preprocess encoded images on the device, for the decoder `cuda`.

        Returns, for each image, nearly the tensor that `preprocess` gives for it, or None where the CPU has to make
        that tensor. Images of more than `max_pixels` pixels are left to the CPU. The tensors must be kept until `embed`
        has returned their vectors.
        """

    def embed(self, batch: torch.Tensor) -> npt.NDArray[np.float32]:
        """Return the vectors of a stack of preprocessed images (images, ...): shape (images, dimension), float32."""

    def embed_text(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Return the vectors of texts, comparable with those of images: shape (texts, dimension), float32.

        Raises NoTextTowerError where the model has no text tower.
        """
