"""Turns encoded bytes into upright RGB pixels, or says why they can't be decoded."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import AvifImagePlugin, Image, JpegImagePlugin, UnidentifiedImageError

from pinery.errors import BadImageError, TransientError
from pinery.imaging.colours import to_rgb
from pinery.imaging.elongation import MAX_RESIZED_PIXELS
from pinery.imaging.jpeg import ORIENTATION, UPRIGHT, unread_jpeg
from pinery.imaging.kinds import FORMATS, kind_of
from pinery.imaging.libtiff import damage_raised
from pinery.imaging.png import bare_png
from pinery.imaging.tiff import mend, unread_tiff
from pinery.imaging.turbo import refuse_damage, turbo_pixels

MAX_REASON = 160
"""The most characters in a reason why an image is bad."""
CODEC_BYTES = 12
"""How many bytes per pixel a codec takes at most, beside the image that it fills."""
PROGRESSIVE_SHARE = 3
"""The coefficients of a progressive JPEG are all in memory, however far it is scaled down. They take as much as a third
of its pixels would: 2 bytes for each value, in up to three channels, compared with about 10 bytes per pixel."""
RESIZED_SIDE = 512
"""The short side, in pixels, to which usual models resize an image at most."""

# Pillow warns of oddities in metadata. They don't matter for the pixels, and the output of a run must stay readable.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Blocks above malloc's largest mmap threshold (32 MiB) go back to the system when they are freed. Pillow's own blocks
# of 16 MiB stay with the thread that freed them: 16 threads kept 3 GB that way, whatever the budget.
Image.core.set_block_size(64 << 20)  # type: ignore[attr-defined]
# As many images are decoded at once as there are cores, so a single AVIF must not use them all.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def decode(data: bytes, max_pixels: int = 64_000_000, least_side: int | None = None) -> Image.Image:
    """The image in `data`: mode RGB, 8 bits per channel, turned upright as its EXIF says.

    `pinery.imaging.kinds` lists the kinds of images. An animation gives its first frame, and an icon its largest image.
    Transparency lies on white, 16-bit grey is scaled to 8 bits, and signed or wider integers and floats are stretched
    from their own minimum to their maximum. Colour profiles are not applied.

    The header must claim at most `max_pixels` (width x height), which is checked before any pixel is decoded. With
    `least_side`, a JPEG is decoded to 1/2, 1/4 or 1/8 of its size, as long as its short side keeps that many pixels.

    Raises BadImageError where the bytes can't be decoded, with a message that is the reason for the quarantine, and
    TransientError where memory runs out, which says nothing about the bytes.
    """
    if not data:
        raise BadImageError("the file is empty")
    kind = kind_of(data)
    _allow(max_pixels)
    try:
        picture, turn = _pixels(data, kind, max_pixels, least_side)
        return picture if turn is None else picture.transpose(turn)
    except BadImageError:
        raise
    except MemoryError as error:
        raise _no_memory(kind, data) from error
    except Image.DecompressionBombError:
        raise BadImageError(f"the {kind} has more than {max_pixels:,} pixels") from None
    except Exception as error:  # Pillow's plugins throw nearly every built-in type on damaged bytes
        if kind == "PNG" and (bare := bare_png(data)) is not None:
            return decode(bare, max_pixels)
        if least_side is not None:
            return decode(data, max_pixels)  # without scaling, the image may be sound
        if _short_of_memory(kind, data, max_pixels):
            raise _no_memory(kind, data) from error
        raise BadImageError(_reason(kind, data, error)) from error


def pixels_needed(data: bytes, max_pixels: int = 64_000_000, least_side: int | None = None) -> int:
    """How many pixels of memory `decode` with the same arguments, and a model's resizing, take at most, by the header.

    It is 0 where the header can't be read or claims more than `max_pixels`: `decode` refuses such images at once.
    """
    _allow(max_pixels)
    try:
        with _opened(data) as image:
            whole = image.width * image.height
            kept = whole // PROGRESSIVE_SHARE if image.info.get("progressive") else 0
            _scale_down(image, least_side)
            short, long = sorted(image.size)
    except Exception:  # noqa: BLE001  `decode` will say what is wrong with the bytes
        bare = bare_png(data)
        return 0 if bare is None else pixels_needed(bare, max_pixels)
    if whole > max_pixels:
        return 0
    # A long strip grows when it is resized, up to what `refuse_elongated` lets pass.
    return max(short * long + kept, min(RESIZED_SIDE**2 * long // max(short, 1), MAX_RESIZED_PIXELS))


def scaled_size(data: bytes, least_side: int | None) -> tuple[int, int] | None:
    """The width and height to which `decode` with this `least_side` scales `data`, or None where it doesn't scale."""
    try:
        with _opened(data) as image:
            covered = _scale_down(image, least_side)
            return None if covered is None else (round(covered[0]), round(covered[1]))
    except Exception:  # noqa: BLE001  `decode` will say what is wrong with the bytes
        return None


def _opened(data: bytes, kind: str | None = None) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=(FORMATS[kind or kind_of(data)],))


def _allow(max_pixels: int) -> None:
    # Pillow has one limit for the whole process; it is only ever raised, to the largest limit of any caller.
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels


def _scale_down(image: Image.Image, least_side: int | None) -> tuple[float, float] | None:
    """Make Pillow scale a JPEG down; return the width and height, in scaled pixels, that the picture then covers."""
    # Only the decoder of JPEG can scale, by 1/2, 1/4 or 1/8; for other images, `draft` does nothing.
    if least_side is None or min(image.size) < 2 * least_side:
        return None
    drafted = image.draft(None, (least_side, least_side))
    return None if drafted is None else drafted[1][2:]


def _aligned(image: Image.Image, covered: tuple[float, float]) -> Image.Image:
    # The last column and row may lie partly beyond the picture, which would be stretched if they were kept.
    if covered == image.size:
        return image
    width, height = covered
    return image.resize((round(width), round(height)), Image.Resampling.BICUBIC, box=(0, 0, width, height))


def _pixels(
    data: bytes, kind: str, max_pixels: int, least_side: int | None
) -> tuple[Image.Image, Image.Transpose | None]:
    # The image is turned by the caller, once the loaded one is freed.
    with _opened(data, kind) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise BadImageError(f"{width} x {height} pixels are more than the {max_pixels:,} allowed")
        covered = _scale_down(image, least_side)
        loaded = _loaded(image, data)
        picture = to_rgb(loaded if covered is None else _aligned(loaded, covered))
        # This is read after loading: a PNG may have its EXIF after the pixels, and Pillow turns a TIFF by itself.
        return picture, UPRIGHT.get(_orientation(image))


def _loaded(image: Image.Image, data: bytes) -> Image.Image:
    """The image with its pixels. Raises BadImageError for damage in a JPEG, which libjpeg finds and Pillow ignores."""
    is_jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    if is_jpeg and image.mode in ("RGB", "L"):
        pixels = turbo_pixels(data, image.size, grey=image.mode == "L")
        if pixels is not None:
            return Image.fromarray(pixels)
    mend(image)
    with damage_raised():
        image.load()
    if is_jpeg:
        refuse_damage(data)
    return image


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except Exception:  # noqa: BLE001  the EXIF is damaged, but the pixels may be sound
        return 1
    return value if isinstance(value, int) else 1


def _short_of_memory(kind: str, data: bytes, max_pixels: int) -> bool:
    """Whether decoding may have failed because memory ran out, which the codecs of WebP and JPEG report as damage."""
    pixels = pixels_needed(data, max_pixels)
    if kind == "WebP" and not pixels:
        pixels = max_pixels  # opening it already takes two canvases, so there may be no memory to read its size
    try:
        np.empty(pixels * CODEC_BYTES, np.uint8)  # untouched, so it takes address space alone
    except MemoryError:
        return True
    return False


def _no_memory(kind: str, data: bytes) -> TransientError:
    return TransientError(
        f"not enough memory to decode a {kind} of {len(data):,} bytes; give the run more memory or fewer threads"
    )


def _reason(kind: str, data: bytes, error: Exception) -> str:
    unread = unread_tiff(data) if kind == "TIFF" else unread_jpeg(data) if kind == "JPEG" else None
    if unread:
        return f"{unread}, which can't be read"
    message = " ".join(str(error).split())
    short_webp = kind == "WebP" and len(data) < int.from_bytes(data[4:8], "little") + 8
    if isinstance(error, EOFError) or "truncated" in message.lower() or short_webp:
        return f"the {kind} is truncated"
    if kind == "BMP" and message.startswith("Unsupported BMP"):
        return f"a BMP of a kind that can't be read ({message.removeprefix('Unsupported BMP ')})"
    if isinstance(error, UnidentifiedImageError):
        return f"the {kind}'s header is damaged or cut short"
    said = message if isinstance(error, OSError) else f"{type(error).__name__}: {message}"
    return f"the {kind} is damaged ({said})"[:MAX_REASON]
