"""How far a JPEG may be scaled down while it is decoded, for each decoder."""

from __future__ import annotations

from typing import Literal, get_args

Decoder = Literal["exact", "scaled", "fast", "cuda"]
DECODERS: tuple[Decoder, ...] = get_args(Decoder)
MARGINS: dict[str, int] = {"scaled": 2, "fast": 1, "cuda": 2}
"""The short side of a scaled image is at least so many times the length that the model resizes it to. `exact` scales
nothing, and `cuda` only scales what it leaves to the CPU."""


def least_side(decoder: str, resize_side: int | None) -> int | None:
    """The short side, in pixels, that must be left of a scaled JPEG for a model that resizes it to `resize_side`.

    None where every pixel is decoded, because the decoder doesn't scale or the model has no such side.
    """
    margin = MARGINS.get(decoder)
    return None if margin is None or resize_side is None else margin * resize_side
