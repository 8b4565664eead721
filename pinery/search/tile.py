"""The tile of one item: its picture from the source, or the reason why there is none."""

from collections.abc import Mapping
from typing import Any

from pinery.corpus.corpus import Corpus
from pinery.errors import BadImageError, ItemDeniedError, MovedError, TransientError
from pinery.imaging.decode import decode
from pinery.search.grid import Tile as Tile
from pinery.search.listed import ListedItem


def tile(
    corpus: Corpus,
    item_id: str,
    item: ListedItem | None,
    metadata: Mapping[str, Any],
    score: float | None = None,
) -> Tile:
    """Return the tile of an item: its picture, or the reason why there is none, with label, id and score.

    `item` is None where it isn't listed.
    """
    label = str(metadata.get("label", ""))
    caption, note = (label, item_id) if label else (item_id, "")
    if item is None:
        return Tile(None, caption, "not in the listing any more", score)
    try:
        data = corpus.source.fetch(item.uri, item.version, corpus.config.run.max_bytes)
        return Tile(decode(data, corpus.config.run.max_pixels), caption, note, score)
    except (BadImageError, MovedError, ItemDeniedError, TransientError) as error:
        return Tile(None, caption, str(error), score)
