"""Search the live index of a corpus by image, text or item."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from PIL import Image

from pinery.addresses import without_secrets
from pinery.checkpoint.alias import Alias, IndexEntry
from pinery.corpus.corpus import Corpus
from pinery.corpus.stored import current_listing
from pinery.corpus.target import Target
from pinery.download import http_chunks
from pinery.duckdb_files import scan
from pinery.errors import (
    AccessDeniedError,
    BadImageError,
    ConfigError,
    IndexMismatchError,
    ItemDeniedError,
    MovedError,
    TransientError,
)
from pinery.imaging.decode import decode
from pinery.imaging.prepare import prepare
from pinery.indexes.engine import ask
from pinery.indexes.protocol import Index
from pinery.records import Match
from pinery.search.grid import Tile, check_grid, draw_grid
from pinery.sources.ids import possible_ids


@dataclass(frozen=True, slots=True)
class Query:
    """A query, with exactly one of `image` (a path or URL), `text` and `id`."""

    image: str | None = None
    text: str | None = None
    id: str | None = None
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

    matches: list[Match]
    grid: Path | None

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as `search --json` prints it."""
        return {"matches": [asdict(match) for match in self.matches], "grid": str(self.grid) if self.grid else None}

    def to_pandas(self) -> Any:
        """Return a DataFrame with a row for each match: id, score, uri, and a column for each metadata key."""
        import pandas as pd

        rows = [{"id": m.id, "score": m.score, "uri": m.uri, **m.metadata} for m in self.matches]
        return pd.DataFrame(rows, columns=None if rows else ["id", "score", "uri"])


def search(corpus: Corpus, query: Query) -> Answer:
    """Answer a query from the live index of a corpus.

    Raises ConfigError where the query can't be answered (no run yet, an unknown id, an unreadable image, no text tower,
    a picture that can't be written), and IndexMismatchError where the index holds another model's vectors.
    """
    given = [name for name in ("image", "text", "id") if getattr(query, name) is not None]
    if len(given) != 1:
        raise ConfigError(f"give exactly one of `image`, `text` and `id`, not {' and '.join(given) or 'none'}")
    if query.grid is not None:
        check_grid(Path(query.grid))
    target = searched_target(corpus, query.index)
    index = target.index
    if query.id is not None:
        query = replace(query, id=_held_id(corpus, index, query.id))
    vector, picture = _vector(target, query)
    uris = Uris(corpus)
    found = ask(lambda: index.query(vector, query.top_k, query.filter), f"index {index.name}")
    known = uris.of([match.id for match in found])
    matches = [replace(match, uri=known.get(match.id, "")) for match in found]
    return Answer(matches, _grid(corpus, query, picture, matches) if query.grid is not None else None)


def _held_id(corpus: Corpus, index: Index, name: str) -> str:
    """Return the id that the index holds for `name`, an id or an item's key; `name` itself where it holds none."""
    possible = possible_ids(name, corpus.config.source.ids)
    held = index.fetch(possible)
    return next((id for id in possible if id in held), name)


def searched_target(corpus: Corpus, index: str | None = None) -> Target:
    """Return the live target, or the kept one or candidate of that `index` name.

    As long as none is live, it is the config's own, as far as limited runs have filled it. Raises ConfigError before
    the first run and for an unknown name, and IndexMismatchError where the index holds another model's vectors.
    """
    alias = corpus.alias()[0]
    entry = alias.live if index is None else _named(corpus, alias, index)
    if entry is None:
        if corpus.current_listing() is None or corpus.target.index.describe() is None:
            raise ConfigError(f"corpus {corpus.config.corpus} has no live index yet; `pinery run` makes one")
        entry = corpus.target.entry
    if entry.kind != corpus.config.index.kind:
        raise IndexMismatchError(
            f"the index to search, {entry.kind}:{entry.name}, is not of the config's index.kind, which is"
            f" {corpus.config.index.kind}: search with index.kind {entry.kind}"
        )
    target = corpus.open_target(entry)
    found = ask(target.index.describe, f"index {entry.name}")
    if found is None or found.model_key != entry.card.key:
        state = "is gone" if found is None else f"now holds vectors of model key {found.model_key}"
        raise IndexMismatchError(
            f"the index {entry.name} {state}; `pinery upsert` fills the live one again from the checkpoint"
        )
    return target


def _named(corpus: Corpus, alias: Alias, name: str) -> IndexEntry:
    known = [*([alias.live] if alias.live else []), *alias.kept, *alias.candidates]
    found = next((one for one in known if one.name == name), None)
    if found is None:
        names = ", ".join(one.name for one in known) or "none"
        raise ConfigError(f"corpus {corpus.config.corpus} has no index {name!r} to search; it has {names}")
    return found


class Uris:
    """Looks up items of the current listing by id."""

    def __init__(self, corpus: Corpus) -> None:
        self._listing = current_listing(corpus)

    def of(self, ids: list[str]) -> dict[str, str]:
        """Return the uris of those ids that are listed, by id."""
        return {row[0]: row[1] for row in self._rows(ids)}

    def item(self, item_id: str) -> tuple[str, str] | None:
        """Return the uri and version of one id, or None where it isn't listed."""
        rows = self._rows([item_id])
        return (rows[0][1], rows[0][2]) if rows else None

    def _rows(self, ids: list[str]) -> list[tuple[str, str, str]]:
        wanted = pa.table({"id": pa.array(ids, pa.string())})  # noqa: F841  # DuckDB finds it by name
        with duckdb.connect() as con:
            scan(con, self._listing).create_view("listing")
            return con.sql("SELECT id, uri, version FROM listing SEMI JOIN wanted USING (id)").fetchall()


def _vector(target: Target, query: Query) -> tuple[list[float], Image.Image | None]:
    """Return the vector to search for, of the model's dimension, and the picture of a query by image."""
    index, limits = target.index, target.config.run
    if query.id is not None:
        wanted = query.id
        stored = ask(lambda: index.fetch([wanted]), f"index {index.name}").get(wanted)
        if stored is None:
            raise ConfigError(f"the index has no item {query.id!r}; `pinery show` draws some that it has")
        return list(stored.values), None
    if query.text is not None:
        return [float(x) for x in target.model().embed_text([query.text])[0]], None
    data = read_file(query.image or "", limits.max_bytes)
    model = target.model()
    try:
        # By the corpus' own decoder: an image of the corpus finds itself with a score of 1.
        image = prepare(data, model.card.decoder, model, limits.max_pixels)
        picture = decode(data, limits.max_pixels) if query.grid is not None else None
    except BadImageError as error:
        raise ConfigError(f"can't search by {query.image}: {error}") from error
    return [float(x) for x in model.embed(image.unsqueeze(0))[0]], picture


def read_file(where: str, max_bytes: int) -> bytes:
    """Return the bytes at a path or URL. Raises ConfigError where they can't be read or are more than `max_bytes`."""
    try:
        if where.startswith(("http://", "https://")):
            return _download(where, max_bytes)
        path = Path(where).expanduser()
        if path.stat().st_size > max_bytes:
            raise ConfigError(f"{where} is larger than run.max_bytes ({max_bytes:,})")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"can't read the image {where}: {error.strerror}") from error
    except (AccessDeniedError, TransientError) as error:
        raise ConfigError(f"can't fetch the image: {error}") from None


def _download(url: str, max_bytes: int) -> bytes:
    data = bytearray()
    for chunk in http_chunks(url):
        data += chunk
        if len(data) > max_bytes:
            raise ConfigError(f"{url} is larger than run.max_bytes ({max_bytes:,})")
    return bytes(data)


def _grid(corpus: Corpus, query: Query, picture: Image.Image | None, matches: list[Match]) -> Path:
    if query.id is not None:
        item = Uris(corpus).item(query.id)
        picture = tile(corpus, query.id, item, {}).image if item else None
    caption = query.text or query.id or Path(without_secrets(query.image or "")).name
    asked = Tile(picture, caption, "text" if query.text else "")
    found = Uris(corpus)
    tiles = [tile(corpus, match.id, found.item(match.id), match.metadata, match.score) for match in matches]
    if not tiles:
        raise ConfigError("no item matches, so there is no picture to draw; widen `filter`")
    return draw_grid(tiles, Path(query.grid or ""), columns=min(6, len(tiles) + 1), query=asked)


def tile(
    corpus: Corpus,
    item_id: str,
    item: tuple[str, str] | None,
    metadata: Mapping[str, Any],
    score: float | None = None,
) -> Tile:
    """Return the tile of an item: its picture, or the reason why there is none, with label, id and score.

    `item` is its uri and version in the listing, or None where it isn't listed.
    """
    label = str(metadata.get("label", ""))
    caption, note = (label, item_id) if label else (item_id, "")
    if item is None:
        return Tile(None, caption, "not in the listing any more", score)
    try:
        data = corpus.source.fetch(*item, corpus.config.run.max_bytes)
        return Tile(decode(data, corpus.config.run.max_pixels), caption, note, score)
    except (BadImageError, MovedError, ItemDeniedError, TransientError) as error:
        return Tile(None, caption, str(error), score)
