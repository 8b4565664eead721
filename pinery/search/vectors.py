"""The vectors of queries: of images, words, items and what is added to or subtracted from them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pinery.corpus.target import Target
from pinery.errors import BadImageError, BadQueryImageError, BadVectorError, QueryError, UnknownItemError
from pinery.imaging.budget import PixelBudget
from pinery.indexes.engine import ask
from pinery.sources.ids import MAX_ID_LENGTH, possible_ids

if TYPE_CHECKING:
    from PIL import Image

PIXELS_AT_ONCE = 32_000_000
"""The most pixels of the images of queries that are decoded at once, unless one alone has more."""


@dataclass(frozen=True, slots=True)
class ById:
    """An item of the corpus in a query, by its id or its key."""

    id: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded image in a query, with the name that errors give it."""

    data: bytes
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class QueryVector:
    """A vector to search for, and the model that it is of."""

    values: NDArray[np.float32]
    """Shape (dimension,)."""
    model_key: str
    of_image: bool
    """True where it is the vector of one image, so that its scores can be compared with those of pairs of images."""
    id: str | None = None
    """The item that it is the vector of."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=True if copy is None else copy)


Term: TypeAlias = "str | bytes | Path | Image.Image | ById | Encoded | QueryVector | ArrayLike"
"""A part of a query: words (a text is never a path), an image (its encoded bytes, a `pathlib.Path` or a Pillow image),
an item (`ById`), or a vector (what `vector_of` returned, or bare numbers)."""


class Vectors:
    """Makes the vectors of queries. Safe to use from several threads.

    The model computes on one thread: its own threads use all cores, and a tokenizer is for one at a time.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._computing = ThreadPoolExecutor(1, "pinery-model")
        self._budget = PixelBudget(PIXELS_AT_ONCE)

    def close(self) -> None:
        """End the model's thread once it has nothing more to compute."""
        self._computing.shutdown(wait=False)

    def of(self, target: Target, term: Term) -> QueryVector:
        """Return the vector of one term, by the model of `target`.

        Raises BadQueryImageError, NoTextTowerError, UnknownItemError, BadVectorError, and what loading a model raises.
        """
        if isinstance(term, QueryVector):
            if term.model_key != target.card.key:
                raise BadVectorError(
                    f"the vector is of model key {term.model_key}, and index {target.name} holds vectors of"
                    f" {target.card.key}: make the vector again"
                )
            return term
        if isinstance(term, ById):
            return self._of_item(target, term.id)
        if isinstance(term, str):
            return QueryVector(self._of_words(target, term), target.card.key, False)
        if isinstance(term, bytes | bytearray | memoryview):
            term = Encoded(bytes(term), "the image")
        if isinstance(term, Path):
            term = Encoded(_read(term, target.config.run.max_bytes), str(term))
        if isinstance(term, Encoded) or type(term).__module__.startswith("PIL."):
            return QueryVector(self._of_image(target, term), target.card.key, True)
        return QueryVector(_of_numbers(target, term), target.card.key, False)

    def combined(self, target: Target, start: Term | None, plus: Sequence[Term], minus: Sequence[Term]) -> QueryVector:
        """Return the vector of `start`, or the unit vector of the sum of unit vectors where there are more terms.

        Raises what `of` raises, and BadVectorError where nothing is left of the sum.
        """
        signed = [*([(1, start)] if start is not None else []), *((1, one) for one in plus)]
        if not signed:
            raise BadVectorError("the query is empty: give an image, words, an item or a vector to look for")
        if len(signed) == 1 and not minus:
            return self.of(target, signed[0][1])
        signed += [(-1, one) for one in minus]
        total = np.sum([sign * _unit(self.of(target, one).values) for sign, one in signed], axis=0)
        length = float(np.linalg.norm(total))
        if length < 1e-6:
            raise BadVectorError("the terms of the query cancel each other out; nothing is left to search for")
        return QueryVector((total / length).astype(np.float32), target.card.key, False)

    def _of_item(self, target: Target, name: str) -> QueryVector:
        possible, index = _possible_ids(target, name), target.index
        held = ask(lambda: index.fetch(possible), f"index {index.name}", self._patience)
        found = next((one for one in possible if one in held), None)
        if found is None:
            raise UnknownItemError(f"the index has no item {name!r}; `pinery show` draws some that it has")
        return QueryVector(np.array(held[found].values, np.float32), target.card.key, True, found)

    def _of_words(self, target: Target, words: str) -> NDArray[np.float32]:
        if not _is_text(words):
            raise QueryError(f"the words {words!a} are not valid Unicode")
        found: NDArray[np.float32] = self._computing.submit(lambda: target.model().embed_text([words])[0]).result()
        return found

    def _of_image(self, target: Target, image: Any) -> NDArray[np.float32]:
        from pinery.imaging.prepare import prepare  # brings torch

        limits = target.config.run
        name = image.name if isinstance(image, Encoded) else "the image"
        if isinstance(image, Encoded) and len(image.data) > limits.max_bytes:
            raise BadQueryImageError(f"{name} is larger than run.max_bytes ({limits.max_bytes:,})")
        model = self._computing.submit(target.model).result()
        try:
            # By the corpus' own decoder: an image of the corpus finds itself with a score of 1.
            if isinstance(image, Encoded):
                pixels = prepare(image.data, model.card.decoder, model, limits.max_pixels, self._budget)
            else:
                pixels = model.preprocess(_upright(image, limits.max_pixels))
        except BadImageError as error:
            raise BadQueryImageError(f"can't search by {name}: {error}") from error
        found: NDArray[np.float32] = self._computing.submit(lambda: model.embed(pixels.unsqueeze(0))[0]).result()
        return found


def _possible_ids(target: Target, name: str) -> list[str]:
    """Return what an index may hold for a name; none where no item can have it."""
    found = possible_ids(name, target.config.source.ids) if name and _is_text(name, "surrogateescape") else []
    return [one for one in found if len(one) <= MAX_ID_LENGTH and one.isascii() and one.isprintable()]


def _is_text(text: str, errors: str = "strict") -> bool:
    """Return whether a text can be encoded: what comes from JSON may have half of a character in it."""
    try:
        text.encode("utf-8", errors)
    except UnicodeEncodeError:
        return False
    return True


def _upright(image: Image.Image, max_pixels: int) -> Image.Image:
    """Return an image that the caller opened as `decode` gives it: upright, RGB, on white."""
    from PIL import ImageOps

    from pinery.imaging.colours import to_rgb

    if image.width * image.height > max_pixels:
        raise BadImageError(f"it has more than {max_pixels:,} pixels")
    try:
        image.load()
        return to_rgb(ImageOps.exif_transpose(image))
    except (OSError, ValueError, SyntaxError) as error:
        raise BadImageError(f"it can't be decoded: {error}") from error


def _of_numbers(target: Target, numbers: Any) -> NDArray[np.float32]:
    try:
        values = np.asarray(numbers, np.float32)
    except (TypeError, ValueError):
        raise BadVectorError(
            f"a query can't be of type {type(numbers).__name__}: give bytes, a pathlib.Path, a Pillow image, words,"
            " ById or a vector"
        ) from None
    if values.shape != (target.card.dimension,) or not np.isfinite(values).all():
        shape = "x".join(map(str, values.shape)) or "one number"
        raise BadVectorError(
            f"the vector ({shape}) can't be searched for: index {target.name} takes {target.card.dimension} finite"
            " numbers"
        )
    return values


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        path = path.expanduser()
        if path.stat().st_size > max_bytes:
            raise BadQueryImageError(f"{path} is larger than run.max_bytes ({max_bytes:,})")
        return path.read_bytes()
    except OSError as error:
        raise BadQueryImageError(f"can't read the image {path}: {error.strerror}") from error


def _unit(values: NDArray[np.float32]) -> NDArray[np.float64]:
    exact = values.astype(np.float64)
    length = float(np.linalg.norm(exact))
    if length == 0:
        raise BadVectorError("a vector of length 0 has no direction, so it can't be added to another")
    return exact / length
