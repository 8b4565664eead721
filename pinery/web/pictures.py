"""Thumbnails and originals of the items of a corpus: made by a bounded pool of threads that all corpora share."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from cachetools import TTLCache

from pinery.config import cache_root
from pinery.cores import cores
from pinery.corpus.corpus import Corpus
from pinery.errors import AccessDeniedError, BadImageError, MovedError, PineryError, TransientError
from pinery.imaging.budget import UNCOUNTED_PIXELS, PixelBudget
from pinery.imaging.decode import decode, pixels_needed
from pinery.imaging.kinds import kind_of
from pinery.search.listed import ListedItem
from pinery.web.thumb_files import ThumbFiles

if TYPE_CHECKING:
    from PIL import Image

Result = TypeVar("Result")
SHORT_SIDE, LONG_SIDE, QUALITY, EFFORT = 256, 512, 80, 2
"""A thumbnail fills a square tile with its short side; a long strip is made no longer than LONG_SIDE. WebP's usual
effort of 4 takes twice the time and saves 4 % of the bytes."""
MOST_WAITING = 600
"""Jobs that wait at most, as many as a page has tiles."""
SHOWN_KINDS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WebP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "AVIF": "image/avif",
    "ICO": "image/x-icon",
}
"""The kinds that every browser shows by itself; an image of another kind is converted."""
REASONS_KEPT, REASON_SECONDS = 4096, 30.0
"""Why pictures could not be made, so that a broken image isn't fetched for each visitor."""


class NoPictureError(PineryError):
    """There is no picture of an item; the message is the reason that stands in its place."""


@dataclass(frozen=True, slots=True)
class Original:
    """An item's image as a browser gets it."""

    data: bytes
    kind: str
    """The media type."""
    name: str
    inline: bool
    """False where it is no image that may be shown, so that it is only saved."""


class Studio:
    """The threads that make pictures, for all corpora of a server, and how many jobs may wait for them."""

    def __init__(self, threads: int | None = None, most_waiting: int = MOST_WAITING) -> None:
        threads = threads or max(4, cores())  # more than one core needs, since sources are waited for
        self._makers = ThreadPoolExecutor(threads, "pinery-pictures")
        self._lookers = ThreadPoolExecutor(4, "pinery-look-up")
        self._budget = PixelBudget()
        self._free = threading.BoundedSemaphore(threads + most_waiting)
        self._lock = threading.Lock()
        self._making: dict[str, Future[Any]] = {}

    def look_up(self, job: Callable[[], Result]) -> Future[Result]:
        """Do something quick, such as looking up an item or reading a file, beside what is being made."""
        return self._lookers.submit(job)

    def make(self, key: str, job: Callable[[], Result]) -> Future[Result]:
        """Do a job once for all who ask for the same key meanwhile. Raises TransientError where too many jobs wait."""
        with self._lock:
            known = self._making.get(key)
            if known is not None:
                return known
            if not self._free.acquire(blocking=False):
                raise TransientError("too many pictures are being made; try again in some seconds", retry_after=2)
            future = self._makers.submit(job)
            self._making[key] = future
        future.add_done_callback(lambda _: self._done(key))
        return future

    def decoded(self, data: bytes, max_pixels: int, least_side: int | None = None) -> Image.Image:
        """Decode an image once there is memory for it. Raises BadImageError, TransientError."""
        needed = pixels_needed(data, max_pixels, least_side)
        with self._budget.hold(needed if needed > UNCOUNTED_PIXELS else 0):
            return decode(data, max_pixels, least_side)

    def close(self) -> None:
        """End the threads; jobs that wait are given up."""
        for pool in (self._makers, self._lookers):
            pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, key: str) -> None:
        with self._lock:
            self._making.pop(key, None)
        self._free.release()


class Pictures:
    """The pictures of one corpus. Safe to use from several threads."""

    def __init__(self, corpus: Corpus, studio: Studio) -> None:
        """Open nothing yet; the corpus is its own from now on."""
        self._corpus, self.studio = corpus, studio
        self._lock = threading.Lock()
        self._files: ThumbFiles | None = None
        self._reasons: TTLCache[str, str] = TTLCache(REASONS_KEPT, REASON_SECONDS)

    def kept(self, version: str) -> bytes | None:
        """Return the thumbnail of that version, if it is on the disk. Raises NoPictureError for one that has none."""
        with self._lock:
            reason = self._reasons.get(version)
        if reason is not None:
            raise NoPictureError(reason)
        return self._thumb_files().read(version)

    def thumb(self, item: ListedItem, version: str) -> Future[bytes]:
        """Make the thumbnail of an item (WebP) and keep it. The future raises NoPictureError, TransientError."""

        def made() -> bytes:
            found = self.kept(version)  # another request may have been first
            if found is None:
                found = thumbnail(self._fetched(item, version), self.studio, self._corpus.config.run.max_pixels)
                self._thumb_files().write(version, found)
            return found

        return self.studio.make(f"thumb {version}", lambda: self._explained(made, version))

    def original(self, item: ListedItem, version: str) -> Future[Original]:
        """Return an item's image as a browser can show or save it. The future raises NoPictureError, TransientError."""

        def made() -> Original:
            return self._shown(self._fetched(item, version), item)

        return self.studio.make(f"image {version}", lambda: self._explained(made, version))

    def _fetched(self, item: ListedItem, version: str) -> bytes:
        try:
            with self._lock:
                source = self._corpus.source  # made on first use
            return source.fetch(item.uri, item.version, self._corpus.config.run.max_bytes)
        except MovedError:
            raise self._none(version, "changed since it was listed") from None
        except AccessDeniedError:
            raise self._none(version, "access to it is denied") from None

    def _explained(self, made: Callable[[], Result], version: str) -> Result:
        try:
            return made()
        except BadImageError as error:
            raise self._none(version, str(error)) from None

    def _none(self, version: str, reason: str) -> NoPictureError:
        with self._lock:
            self._reasons[version] = reason
        return NoPictureError(reason)

    def _shown(self, data: bytes, item: ListedItem) -> Original:
        name = unquote(item.id.rpartition("/")[2]) or "image"
        try:
            kind = kind_of(data)
        except BadImageError:
            return Original(data, "application/octet-stream", name, False)
        if kind in SHOWN_KINDS:
            return Original(data, SHOWN_KINDS[kind], name, True)
        out = io.BytesIO()
        self.studio.decoded(data, self._corpus.config.run.max_pixels).save(out, "JPEG", quality=92)
        return Original(out.getvalue(), "image/jpeg", f"{name}.jpg", True)

    def _thumb_files(self) -> ThumbFiles:
        with self._lock:
            if self._files is None:
                self._files = ThumbFiles(_folder(self._corpus))
            return self._files


def thumbnail(data: bytes, studio: Studio, max_pixels: int) -> bytes:
    """Return an encoded image as a small upright WebP. Raises BadImageError, TransientError."""
    image = studio.decoded(data, max_pixels, SHORT_SIDE)
    factor = min(1.0, SHORT_SIDE / min(image.size), LONG_SIDE / max(image.size))
    if factor < 1:
        width, height = (max(1, round(factor * side)) for side in image.size)
        image = image.resize((width, height), reducing_gap=2.0)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=QUALITY, method=EFFORT)
    return out.getvalue()


def _folder(corpus: Corpus) -> Path:
    """Return the folder for thumbnails: in the state's cache, or in the machine's where the state can't be written."""
    try:
        return corpus.store.cache("thumbs")
    except PineryError:
        return cache_root() / "thumbs"
