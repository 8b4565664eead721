"""How far a JPEG may be scaled down while it is decoded, for each decoder."""

from __future__ import annotations

from typing import Literal, get_args

Decoder = Literal["exact", "scaled", "fast", "cuda"]
DECODERS: tuple[Decoder, ...] = get_args(Decoder)
MARGINS: dict[str, int] = {"scaled": 2, "fast": 1, "cuda": 2}
"""How many times the side that the model resizes to stays in the scaled image; `exact` scales nothing, and `cuda` what
it leaves to the processor."""


def least_side(decoder: str, resize_side: int | None) -> int | None:
    """The short side, in pixels, that must be left of a JPEG for a model that resizes it to `resize_side`.

    None where the decoder doesn't scale, or the model resizes to no one side: every pixel is decoded.
    """
    margin = MARGINS.get(decoder)
    return None if margin is None or resize_side is None else margin * resize_side
