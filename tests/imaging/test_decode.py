"""decode: every kind of picture comes out as upright RGB, everything else as BadImageError with a plain reason."""

import contextlib
import io
import random
import struct
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFilter

from pinery.errors import BadImageError
from pinery.imaging.budget import PixelBudget
from pinery.imaging.decode import decode, pixels_needed
from pinery.imaging.elongation import refuse_elongated

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")

RED, WHITE, BLACK = (255, 0, 0), (255, 255, 255), (0, 0, 0)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(data, **options):
    image = decode(data, **options)
    assert image.mode == "RGB"
    return np.asarray(image)


def noise(side=61):
    values = np.random.default_rng(0).integers(0, 256, (side, side + 6, 3), np.uint8)
    return Image.fromarray(values).filter(ImageFilter.GaussianBlur(3))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_plain_pictures_are_what_pillow_makes_of_them(kind):
    data = encoded(noise(), kind)
    assert (pixels(data) == np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied_once(kind, orientation):
    upright = Image.new("RGB", (32, 16), WHITE)
    upright.paste(RED, (0, 0, 8, 8))
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = upright if undo is None else upright.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    found = pixels(encoded(stored, kind, exif=exif, **options))
    assert found.shape == (16, 32, 3)
    assert np.abs(found[2, 2] - np.array(RED)).max() < 30
    assert found[12, 28].min() > 225


def test_damaged_exif_beside_sound_pixels_costs_nothing():
    exif = b"Exif\0\0II*\0\xff\xff\xff\xff\x12\x01"
    assert pixels(encoded(Image.new("RGB", (8, 8), WHITE), "JPEG", exif=exif)).min() > 250


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_with_adobes_inversion_and_without(kind):
    found = pixels(encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), kind))[4, 4]
    assert np.abs(found.astype(int) - (0, 255, 255)).max() < 12


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (255, 0, 0, 255), RED),
        ("RGBA", (255, 0, 0, 0), WHITE),
        ("RGBA", (255, 0, 0, 128), (255, 127, 127)),
        ("LA", (0, 255), BLACK),
        ("LA", (0, 0), WHITE),
        ("L", 77, (77, 77, 77)),
        ("1", 1, WHITE),
        ("1", 0, BLACK),
    ],
)
def test_alpha_lies_on_white(mode, colour, expected):
    assert tuple(pixels(encoded(Image.new(mode, (4, 4), colour), "PNG"))[1, 1]) == expected


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palettes_with_and_without_transparency(kind):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 2)
    assert tuple(pixels(encoded(image, kind))[1, 1]) == RED
    clear = pixels(encoded(image, kind, transparency=1))
    assert tuple(clear[1, 1]) == WHITE
    assert tuple(clear[0, 0]) == (0, 0, 255)


def test_transparent_colour_of_an_rgb_png():
    image = Image.new("RGB", (4, 4), RED)
    assert tuple(pixels(encoded(image, "PNG", transparency=RED))[1, 1]) == WHITE


@pytest.mark.parametrize(("kind", "order"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2")])
def test_sixteen_bits_are_scaled_not_clipped(kind, order):
    values = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    found = pixels(encoded(Image.fromarray(values.astype(order)), kind))
    assert (found[..., 0] == np.rint(values / 257)).all()


def test_sixteen_bit_tiff_with_white_as_zero():
    image = Image.fromarray(np.array([[0, 65535]], np.uint16))
    assert pixels(encoded(image, "TIFF", tiffinfo={262: 0}))[0, :, 0].tolist() == [255, 0]


def test_sixteen_bit_colour_png():
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    row = b"\0" + struct.pack(">3H", 65535, 32768, 0)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    assert pixels(data)[0, 0].tolist() == [255, 128, 0]


def test_floats_and_wide_integers_are_stretched():
    floats = Image.fromarray(np.array([[-1.0, 0.0, 1.0]], np.float32))
    assert pixels(encoded(floats, "TIFF"))[0, :, 0].tolist() == [0, 128, 255]
    integers = Image.fromarray(np.array([[0, 1_000_000]], np.int32))
    assert pixels(encoded(integers, "TIFF"))[0, :, 0].tolist() == [0, 255]
    with pytest.raises(BadImageError, match="not finite"):
        decode(encoded(Image.fromarray(np.array([[np.nan, 1]], np.float32)), "TIFF"))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, WHITE, BLACK)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert tuple(pixels(data)[4, 4]) == RED


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"\0" * 512, "only zero bytes"),
        (b"hello, world", r"not an image that can be read \(starts with b'hello, world'\)"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"<?xml version='1.0'?>\n<svg>", "an SVG drawing"),
        (b"\0\0\0\x18ftypavif\0\0", "the AVIF's header is damaged or cut short"),
        (b"\0\0\0\x18ftypisom\0\0", "a video, which can't be read; docs/images.md lists what can"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\xff\xd8\xff", "the JPEG's header is damaged or cut short"),
        (b"P9 2 2 255\n" + b"\0" * 12, "not an image that can be read"),
    ],
)
def test_what_is_no_image_says_what_it_is(data, reason):
    with pytest.raises(BadImageError, match=reason):
        decode(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_truncated_pictures_are_refused_never_padded(kind):
    data = encoded(noise(), kind)
    with pytest.raises(BadImageError, match="truncated"):
        decode(data[: len(data) * 9 // 10])


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_cut_anywhere_is_refused(progressive):
    data = encoded(noise(), "JPEG", progressive=progressive)
    for length in range(0, len(data), 7):
        with pytest.raises(BadImageError):
            decode(data[:length])


def test_size_is_judged_from_the_header():
    with pytest.raises(BadImageError, match="20 x 10 pixels are more than the 199 allowed"):
        decode(encoded(Image.new("RGB", (20, 10)), "PNG"), max_pixels=199)
    assert decode(encoded(Image.new("RGB", (20, 10)), "PNG"), max_pixels=200).size == (20, 10)


def test_a_decompression_bomb_is_refused_before_its_pixels_are_made():
    bomb = encoded(Image.new("1", (30_000, 30_000)), "PNG")
    with pytest.raises(BadImageError, match="more than 64,000,000 pixels"):
        decode(bomb)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("PNG", {}),
        ("GIF", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {}),
        ("BMP", {}),
    ],
)
def test_mutated_bytes_give_a_picture_or_a_reason(kind, options):
    data, rng = encoded(noise(24), kind, **options), random.Random(7)
    for _ in range(250):
        mutated = bytearray(data)
        for _ in range(rng.randint(1, 6)):
            # Headers are where the trouble is.
            at = rng.randrange(min(len(data), 200)) if rng.random() < 0.6 else rng.randrange(len(data))
            mutated[at] ^= 1 << rng.randrange(8)
        if rng.random() < 0.2:
            del mutated[rng.randrange(1, len(mutated)) :]
        with contextlib.suppress(BadImageError):
            assert decode(bytes(mutated), max_pixels=1_000_000).mode == "RGB"


def test_an_elongated_picture_is_refused_before_resizing():
    refuse_elongated(Image.new("1", (4000, 100)), 224)
    with pytest.raises(BadImageError, match="too elongated"):
        refuse_elongated(Image.new("1", (1, 60_000)), 224)


def test_alpha_is_laid_on_white_exactly_as_pillow_composites_it():
    value, alpha = np.meshgrid(np.arange(256), np.arange(256))
    layer = Image.fromarray(np.stack([value, 255 - value, value // 2, alpha], -1).astype(np.uint8))
    expected = Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer).convert("RGB")
    assert (pixels(encoded(layer, "PNG")) == np.asarray(expected)).all()


SHORT_OF_MEMORY = """
import io, resource, sys
from PIL import Image
from pinery.errors import TransientError
from pinery.imaging.decode import decode

kind, mode, options = sys.argv[1], sys.argv[2], eval(sys.argv[3])
buffer = io.BytesIO()
Image.new(mode, (3000, 3000)).save(buffer, kind, **options)
data = buffer.getvalue()
decode(data)
used = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmSize"))
for spare in (8, 20, 40, 50, 60):
    resource.setrlimit(resource.RLIMIT_AS, (used + (spare << 20), resource.RLIM_INFINITY))
    try:
        decode(data)
    except TransientError as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [("PNG", "RGBA", {}), ("JPEG", "RGB", {"progressive": True}), ("WEBP", "RGB", {"lossless": True, "method": 0})],
)
def test_want_of_memory_is_no_verdict_on_the_bytes(kind, mode, options):
    command = [sys.executable, "-c", SHORT_OF_MEMORY, kind, mode, repr(options)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert f"not enough memory to decode a {'WebP' if kind == 'WEBP' else kind}" in run.stdout


def test_pixels_needed_is_told_from_the_header():
    assert pixels_needed(encoded(Image.new("1", (3000, 2000)), "PNG")[:64]) == 6_000_000
    assert pixels_needed(encoded(Image.new("1", (4, 400)), "PNG")) == 512 * 512 * 100
    assert pixels_needed(encoded(Image.new("1", (1, 60_000)), "PNG")) == 64_000_000
    assert pixels_needed(encoded(Image.new("1", (20, 10)), "PNG"), max_pixels=199) == 0
    assert pixels_needed(b"no image") == 0


def test_a_pixel_budget_is_kept_and_lets_the_largest_in_alone():
    budget, lock, held, peaks = PixelBudget(100), threading.Lock(), [], []

    def work(amount):
        with budget.hold(amount):
            with lock:
                held.append(amount)
                peaks.append(list(held))
            threading.Event().wait(0.005)
            with lock:
                held.remove(amount)

    threads = [threading.Thread(target=work, args=(amount,)) for amount in (40, 500, 30, 60, 100, 0, 70) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(peaks) == 21
    assert all(sum(peak) <= 100 or sum(peak) == 500 for peak in peaks)
    with pytest.raises(ValueError, match="x"), budget.hold(100):
        raise ValueError("x")
    with budget.hold(100):
        pass
