"""Decodes and preprocesses many JPEGs at once on a CUDA device, by nvJPEG through torchvision."""

import io
import threading
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor

from pinery.cores import cores
from pinery.errors import BadImageError
from pinery.imaging.budget import UNCOUNTED_PIXELS
from pinery.imaging.jpeg import END, UPRIGHT_ALREADY, YCBCR, plain_jpeg
from pinery.imaging.turbo import refuse_damage, turbo_pixels

Finish = Callable[[Tensor], Tensor]
"""Preprocesses images of one size (n, 3, height, width), uint8, on their device: to (n, ...)."""

LARGEST_PIXELS = 16_000_000
"""The most pixels of a JPEG; larger ones are left to the CPU, which scales them down while it decodes them."""
PIXELS_AT_ONCE = 64_000_000
"""The most pixels of all JPEGs that are decoded at once: 0.2 GB as bytes, 0.8 GB as floats while they are resized."""
FAILURES = 16
"""The calls that may fail in a batch before the rest of it is left to the CPU."""


class DeviceJpegs:
    """Decodes JPEGs for one model; threads that share it take turns."""

    def __init__(self, device: str, finish: Finish, resize_side: int, threads: int | None = None) -> None:
        """Use no device yet.

        Args:
            device: `cuda` or `cuda:<number>`; with `cpu`, libjpeg-turbo does the same.
            finish: preprocesses what was decoded.
            resize_side: the length in pixels that `finish` resizes an image's short side to, at most.
            threads: the number of threads that check the data meanwhile; by default one for each core.
        """
        self._device, self._finish, self._side = torch.device(device), finish, resize_side
        self._turn = threading.Lock()
        self._judges = ThreadPoolExecutor(threads or cores(), "jpeg-judge")
        self._works: bool | None = None
        self._stream: torch.cuda.Stream | None = None
        self._pixels_at_once, self._failures = PIXELS_AT_ONCE, 0

    def __call__(self, encoded: Sequence[bytes], max_pixels: int) -> list[Tensor | None]:
        """Return each image as `finish` gives it, on the device; None where another decoder has to decode it.

        It decodes plain JPEGs in YCbCr of at most `max_pixels` pixels that are sound and that the device accepts. The
        tensors must not be freed while the device computes with them. Where torchvision can't use this device, it warns
        once and decodes nothing.
        """
        found: list[Tensor | None] = [None] * len(encoded)
        with self._turn, self._own_stream():
            if self._works is None:
                self._works = self._tried()
            self._failures = 0
            if self._works:
                chunks = list(_chunks(encoded, min(max_pixels, LARGEST_PIXELS), self._side, self._pixels_at_once))
                # nvJPEG doesn't report damage, so the CPU checks the data while the device decodes it.
                sound = self._judges.map(_is_sound, [encoded[at] for chunk in chunks for at in chunk])
                for chunk in chunks:
                    for at, image in zip(chunk, self._finished([encoded[at] for at in chunk]), strict=True):
                        found[at] = image if next(sound) else None
        return found

    @contextmanager
    def _own_stream(self) -> Iterator[None]:
        # torchvision's decoder writes at once into memory that work on the caller's stream may still be reading
        # (https://github.com/pytorch/vision/pull/9606). On this stream there is no such work, and nobody else uses it.
        if self._device.type != "cuda":
            yield
            return
        if self._stream is None:
            self._stream = cast(Any, torch.cuda).Stream(self._device)
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            yield
            self._stream.synchronize()

    def _tried(self) -> bool | None:
        """Return whether decoding works here at all; None where memory ran out before that was known."""
        buffer = io.BytesIO()
        Image.new("RGB", (64, 64)).save(buffer, "JPEG")
        try:
            if self._stream is not None and (allocator := torch.cuda.get_allocator_backend()) != "native":
                raise RuntimeError(f"PyTorch's allocator is {allocator}, which queues work of its own")
            self._preprocessed(self._decoded([buffer.getvalue()]))
        except torch.OutOfMemoryError:
            return None
        except Exception as error:  # noqa: BLE001  torchvision without nvJPEG, a driver too old, an odd image processor
            reason = (str(error).splitlines() or [""])[0][:200]
            warnings.warn(
                f"JPEGs are decoded by the CPU, because torchvision can't use {self._device} for it ({reason}); vectors"
                " stay close to what they were, but take longer",
                RuntimeWarning,
                stacklevel=3,
            )
            return False
        return True

    def _finished(self, encoded: list[bytes]) -> list[Tensor | None]:
        """Return the preprocessed images; where a call fails for a bad image or for memory, its halves are tried."""
        if self._failures >= FAILURES:
            return [None] * len(encoded)
        short = False
        try:
            return self._preprocessed(self._decoded(encoded))
        except RuntimeError as error:
            self._failures += 1
            short = isinstance(error, torch.OutOfMemoryError)
        if self._stream is not None:
            self._stream.synchronize()  # raises where the device itself has failed
        if short:
            self._pixels_at_once = max(1, self._pixels_at_once // 2)
            if self._stream is not None:
                torch.cuda.empty_cache()
        if len(encoded) == 1:
            return [None]
        half = len(encoded) // 2
        return self._finished(encoded[:half]) + self._finished(encoded[half:])

    def _decoded(self, encoded: list[bytes]) -> list[Tensor]:
        if self._stream is not None:
            self._stream.synchronize()
        if self._device.type == "cpu":
            return [_by_cpu(data) for data in encoded]
        try:
            from torchvision.io import ImageReadMode, decode_jpeg  # deprecated since torchvision 0.29
        except ImportError as error:
            raise RuntimeError("this torchvision decodes no JPEGs") from error
        data = [torch.frombuffer(bytearray(one), dtype=torch.uint8) for one in encoded]
        try:
            decoded: list[Tensor] = decode_jpeg(data, ImageReadMode.RGB, device=self._device)
        except AttributeError as error:
            raise RuntimeError("this torchvision was built without its codecs") from error
        return decoded

    def _preprocessed(self, pixels: list[Tensor]) -> list[Tensor | None]:
        """Return images (3, height, width), uint8, preprocessed; those of one size together."""
        alike: dict[torch.Size, list[int]] = defaultdict(list)
        for at, image in enumerate(pixels):
            alike[image.shape].append(at)
        found: list[Tensor | None] = [None] * len(pixels)
        for positions in alike.values():
            # Without the copy, a crop would keep its whole image in memory.
            finished = self._finish(torch.stack([pixels[at] for at in positions])).contiguous()
            for at, image in zip(positions, finished, strict=True):
                found[at] = image
        return found


def _is_sound(data: bytes) -> bool:
    try:
        refuse_damage(data)
    except BadImageError:
        return False
    return True


def _by_cpu(data: bytes) -> Tensor:
    header = plain_jpeg(data)
    try:
        pixels = None if header is None else turbo_pixels(data, (header.width, header.height))
    except BadImageError:
        pixels = None
    if pixels is None:
        raise RuntimeError("not a JPEG that can be decoded")
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _chunks(encoded: Sequence[bytes], max_pixels: int, side: int, at_once: int) -> Iterator[list[int]]:
    """Yield the positions of the images to decode, in chunks of at most `at_once` pixels or of a single image."""
    chunk: list[int] = []
    room = at_once
    for at, data in enumerate(encoded):
        if not (pixels := _pixels(data, max_pixels, side)):
            continue
        if pixels > room and chunk:
            yield chunk
            chunk, room = [], at_once
        chunk.append(at)
        room -= pixels
    if chunk:
        yield chunk


def _pixels(data: bytes, max_pixels: int, side: int) -> int:
    """Return the pixels of a JPEG for the device, before or after resizing, if these are more; 0 for other images."""
    header = plain_jpeg(data)
    if header is None or header.components != YCBCR or header.orientation != UPRIGHT_ALREADY:
        return 0
    if not data.endswith(END):  # some decoders don't notice that a JPEG is cut short
        return 0
    short, long = sorted((header.height, header.width))
    pixels, resized = short * long, side * side * long // short
    return 0 if pixels > max_pixels or resized > UNCOUNTED_PIXELS else max(pixels, resized)
