"""The images of a corpus by which `auto` settings of a model are decided."""

from __future__ import annotations

from collections.abc import Iterable

from pinery.imaging.decode import pixels_needed

SAMPLES, SAMPLE_BYTES = 32, 64 << 20
"""How many images are taken at most, and from how many bytes on no more are."""


def take_samples(images: Iterable[bytes], max_pixels: int) -> list[bytes]:
    """The first of these encoded images that have at most `max_pixels` pixels, as many as `auto` looks at."""
    found: list[bytes] = []
    for data in images:
        if pixels_needed(data, max_pixels):
            found.append(data)
        if len(found) == SAMPLES or sum(map(len, found)) > SAMPLE_BYTES:
            break
    return found
