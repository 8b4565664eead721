"""One query of the command line: its images are read from paths and URLs, and its matches may be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinery.addresses import without_secrets
from pinery.corpus.corpus import Corpus
from pinery.errors import AccessDeniedError, BadQueryImageError, ConfigError, TransientError
from pinery.search.hits import Hit, Hits
from pinery.search.searcher import Searcher
from pinery.search.vectors import ById, Encoded, Term

if TYPE_CHECKING:
    import pandas as pd
    from PIL import Image
SIGNED = (("+", "plus"), ("\N{MINUS SIGN}", "minus"))
ADDRESSES = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Query:
    """A query, with exactly one of `image` (a path or URL), `text` and `id`, or none where there is some `plus`."""

    image: str | None = None
    text: str | None = None
    id: str | None = None
    plus: Sequence[str] = ()
    """Terms to add: the path of a file that is there, or a URL, is an image; anything else is words."""
    minus: Sequence[str] = ()
    """Terms to subtract, told apart in the same way."""
    top_k: int = 10
    """The most matches to find."""
    filter: Mapping[str, Any] | None = None
    """A filter on the metadata, in Pinecone's filter language."""
    grid: str | None = None
    """The path of a picture of the matches to draw."""
    index: str | None = None
    """The name of a kept index or candidate to search in the place of the live one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The matches of a query, best first, and the picture of them if one was asked for."""

    hits: Hits
    grid: Path | None

    @property
    def matches(self) -> list[Hit]:
        """The hits as a list."""
        return list(self.hits)

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as `search --json` prints it."""
        return self.hits.to_dict() | {"grid": str(self.grid) if self.grid else None}

    def to_pandas(self) -> pd.DataFrame:
        """Return a DataFrame with a row for each match; see `Hits.to_pandas`."""
        return self.hits.to_pandas()


def search(corpus: Corpus, query: Query) -> Answer:
    """Answer one query from the live index of a corpus.

    Raises ConfigError where the query can't be answered (no run yet, an unknown id, an unreadable image, no text tower,
    a picture that can't be written), and IndexMismatchError where the index holds another model's vectors.
    """
    given = [name for name in ("image", "text", "id") if getattr(query, name) is not None]
    if len(given) != 1 and not (query.plus and not given):
        raise ConfigError(f"give exactly one of `image`, `text` and `id`, not {' and '.join(given) or 'none'}")
    if query.grid is not None:
        from pinery.search.grid import check_grid  # brings Pillow

        check_grid(Path(query.grid))
    with Searcher(corpus, wait_for_strengths=True) as searcher:
        limit = corpus.config.run.max_bytes
        start = _start(query, limit)
        plus, minus = ([_term(text, limit) for text in side] for side in (query.plus, query.minus))
        options: dict[str, Any] = {"top_k": query.top_k, "filter": query.filter, "index": query.index}
        hits = searcher.search(start, plus=plus, minus=minus, **options)
        grid = _grid(corpus, searcher, query, start, hits) if query.grid is not None else None
        return Answer(hits, grid)


def _start(query: Query, max_bytes: int) -> Term | None:
    if query.image is not None:
        return Encoded(read_file(query.image, max_bytes), query.image)
    return ById(query.id) if query.id is not None else query.text


def _term(text: str, max_bytes: int) -> Term:
    """Return an image where the text is a URL or the path of a file that is there, else the words."""
    if text.startswith(ADDRESSES) or _is_file(text):
        return Encoded(read_file(text, max_bytes), text)
    return text


def _is_file(text: str) -> bool:
    try:
        return Path(text).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # too long a text for a name, or `~` and no such user
        return False


def read_file(where: str, max_bytes: int) -> bytes:
    """Return the bytes at a path or URL, at most `max_bytes`. Raises BadQueryImageError where they can't be had."""
    try:
        if where.startswith(ADDRESSES):
            return _download(where, max_bytes)
        path = Path(where).expanduser()
        if path.stat().st_size > max_bytes:
            raise BadQueryImageError(f"{where} is larger than run.max_bytes ({max_bytes:,})")
        return path.read_bytes()
    except OSError as error:
        raise BadQueryImageError(f"can't read the image {where}: {error.strerror}") from error
    except (AccessDeniedError, TransientError) as error:
        raise BadQueryImageError(f"can't fetch the image: {error}") from None


def _download(url: str, max_bytes: int) -> bytes:
    from pinery.download import http_chunks  # brings httpx

    data = bytearray()
    for chunk in http_chunks(url):
        data += chunk
        if len(data) > max_bytes:
            raise BadQueryImageError(f"{url} is larger than run.max_bytes ({max_bytes:,})")
    return bytes(data)


def _grid(corpus: Corpus, searcher: Searcher, query: Query, start: Term | None, hits: Hits) -> Path:
    from pinery.search.grid import draw_grid
    from pinery.search.tile import Tile, tile

    if not hits:
        raise ConfigError("no item matches, so there is no picture to draw; widen `filter`")
    listed = searcher.items([*(hit.id for hit in hits), *([query.id] if query.id else [])])
    tiles = [tile(corpus, hit.id, listed.get(hit.id), hit.metadata, hit.score) for hit in hits]
    picture: Image.Image | None = None
    if isinstance(start, Encoded):
        from pinery.imaging.decode import decode

        picture = decode(start.data, corpus.config.run.max_pixels)
    elif query.id in listed:
        picture = tile(corpus, query.id, listed[query.id], {}).image
    asked = Tile(picture, _caption(query), "text" if query.text and not query.plus and not query.minus else "")
    return draw_grid(tiles, Path(query.grid or ""), columns=min(6, len(tiles) + 1), query=asked)


def _caption(query: Query) -> str:
    """Return the query in words: what is added and subtracted stands behind it."""
    start = query.text or query.id or Path(without_secrets(query.image or "")).name
    names = [f"{sign} {Path(without_secrets(one)).name}" for sign, side in SIGNED for one in getattr(query, side)]
    return " ".join([start, *names]).strip()
