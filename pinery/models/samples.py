"""The images of a corpus by which `auto` settings of a model are decided."""

from collections.abc import Iterable

from pinery.imaging.decode import pixels_needed

SAMPLES, SAMPLE_BYTES = 32, 64 << 20
"""No more images are taken once there are so many, or once they have more than so many bytes."""


def take_samples(images: Iterable[bytes], max_pixels: int) -> list[bytes]:
    """Return the first of these encoded images that have at most `max_pixels` pixels, as many as `auto` looks at."""
    found: list[bytes] = []
    for data in images:
        if pixels_needed(data, max_pixels):
            found.append(data)
        if len(found) == SAMPLES or sum(map(len, found)) > SAMPLE_BYTES:
            break
    return found
