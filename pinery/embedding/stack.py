"""The preprocessed images of a batch, side by side in memory as the model takes them."""

from __future__ import annotations

import threading
from collections import deque

import torch
from torch import Tensor


class Stacks:
    """Memory for stacks of images, which is used again: to have new memory cleared costs as much as to copy into it."""

    def __init__(self, device: str) -> None:
        """`device` is the model's. From page-locked memory a GPU copies by itself, while the CPU goes on."""
        self._pinned = device.startswith("cuda")
        self._spare: deque[Tensor] = deque(maxlen=8)

    def take(self, images: int, like: Tensor) -> Tensor:
        """Return memory for so many images of the shape and dtype of `like`: (images, ...), its content undefined."""
        # Images are decoded with their channels last, which is what networks want too, so they stay like that.
        last = like.ndim == 3 and like.stride(0) == 1
        layout = torch.channels_last if last else torch.contiguous_format
        while self._spare:
            spare = self._spare.popleft()
            suits = spare.shape[1:] == like.shape and spare.dtype == like.dtype
            if suits and len(spare) >= images and spare.is_contiguous(memory_format=layout):
                return spare
        shape = (images, *like.shape)
        return torch.empty(shape, dtype=like.dtype, memory_format=layout, pin_memory=self._pinned)

    def give_back(self, memory: Tensor) -> None:
        """Take back what `take` returned, once nothing computes with it any more."""
        self._spare.append(memory)


class Stack:
    """One batch's images, which several threads put into it."""

    def __init__(self, images: int, stacks: Stacks) -> None:
        """Take memory for so many `images` as soon as the first one shows their shape."""
        self._images, self._stacks = images, stacks
        self._lock = threading.Lock()
        self._memory: Tensor | None = None

    def put(self, at: int, image: Tensor) -> None:
        """Copy an image (...) to its place."""
        if self._memory is None:
            with self._lock:
                if self._memory is None:
                    self._memory = self._stacks.take(self._images, image)
        self._memory[at] = image

    def image(self, at: int) -> Tensor:
        """Return the image (...) that was put at a place."""
        assert self._memory is not None
        return self._memory[at]

    def images(self, without: set[int]) -> Tensor:
        """Return the images that were put, shape (images, ...); all but those at the places `without`."""
        assert self._memory is not None
        images = self._memory[: self._images]
        if not without:
            return images
        return images[[at for at in range(self._images) if at not in without]]

    def close(self) -> None:
        """Let the memory be used again."""
        if self._memory is not None:
            self._stacks.give_back(self._memory)
