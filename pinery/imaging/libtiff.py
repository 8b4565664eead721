"""Turns the errors that libtiff prints to stderr while Pillow decodes a TIFF into exceptions."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import PIL

CODEC = re.compile(rb"Fax|JPEGLib|.*Decode")
"""The names of the parts of libtiff whose errors mean damaged pixels, even though it goes on decoding."""
_heard = threading.local()


@contextlib.contextmanager
def damage_raised() -> Iterator[None]:
    """Raises OSError with libtiff's words where it reports damage in the pixels that are decoded inside the `with`."""
    _heard.words, _heard.of_pixels = None, False
    try:
        yield
    except OSError as error:
        raise OSError(_heard.words or str(error)) from error
    if _heard.of_pixels:
        raise OSError(_heard.words)


def _hear(module: bytes | None, words: bytes | None, _: int | None) -> None:
    """Keep the first error; libtiff calls this in the thread that decodes. The values for its format are left out."""
    if getattr(_heard, "words", None) is None:
        told = (words or b"").split(b"%")[0].removesuffix(b" at line ").removesuffix(b" at scanline ").rstrip(b" .,:")
        _heard.words = f"{told.decode('latin-1') or 'damaged data'}, says libtiff"
        _heard.of_pixels = CODEC.match(module or b"") is not None


_heard_by_libtiff = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)(_hear)


def _listen() -> None:
    """Make `_hear` the error handler, in place of the one that prints, of the libtiff that Pillow uses."""
    package = Path(PIL.__file__).parent
    bundled = [*package.parent.glob("[Pp]illow.libs/libtiff*"), *package.glob(".dylibs/libtiff*")]
    for library in bundled or filter(None, [ctypes.util.find_library("tiff")]):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(str(library)).TIFFSetErrorHandler(_heard_by_libtiff)


_listen()
