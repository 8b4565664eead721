"""The images of a corpus that decide what a model reference leaves to `auto`."""

from __future__ import annotations

from collections.abc import Iterable

from pinery.imaging.decode import pixels_needed

SAMPLES, SAMPLE_BYTES = 32, 64 << 20
"""Images, and their bytes, at most."""


def take_samples(images: Iterable[bytes], max_pixels: int) -> list[bytes]:
    """The first of these encoded images that can be decoded, as many as are needed."""
    found: list[bytes] = []
    for data in images:
        if pixels_needed(data, max_pixels):
            found.append(data)
        if len(found) == SAMPLES or sum(map(len, found)) > SAMPLE_BYTES:
            break
    return found
