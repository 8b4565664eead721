"""Answers queries from the live index of a corpus: opened once, for as long as a process lives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import ArrayLike

from pinery.corpus.corpus import Corpus
from pinery.errors import DamagedError, PineryError, QueryError, TerminalError, TransientError, UnknownItemError
from pinery.indexes.engine import READ_PATIENCE, ask
from pinery.records import Match
from pinery.search.hits import Hit, Hits
from pinery.search.listed import ListedItem, ListedItems
from pinery.search.live import FRESH_SECONDS, LiveTargets, Opened
from pinery.search.scales import Scales
from pinery.search.vectors import ById, QueryVector, Term, Vectors

if TYPE_CHECKING:
    from PIL import Image

Result = TypeVar("Result")
Filter = Mapping[str, Any]
MOST_HITS = 10_000
"""Pinecone's limit, which the embedded index keeps to as well."""


class Searcher:
    """Answers queries. Threads may share it, and should: it is cheap to ask and costly to open.

    It follows the alias: a second after another index went live, queries are answered from that one, as a whole. It
    follows the current listing, which has the addresses of hits. It loads a model when a query first needs one.

    Every query takes `top_k`, a `filter` on the metadata in Pinecone's filter language, and `index`, the name of a kept
    index or candidate in the place of the live one. Every query may raise:

    - QueryError for what is wrong with the query: UnknownItemError, UnknownIndexError, NoTextTowerError,
      BadQueryImageError, BadVectorError, BadFilterError;
    - NoLiveIndexError before the first run, IndexMismatchError where the index is gone or holds another model's
      vectors, TransientError where it doesn't answer, and another PineryError for what else is wrong with index or
      state.
    """

    def __init__(self, corpus: Corpus, *, patience: float = READ_PATIENCE, wait_for_strengths: bool = False) -> None:
        """Open nothing yet; the corpus is the searcher's own from now on.

        An index that is away is asked again for `patience` seconds. Strengths of a corpus that nobody has searched
        before are None until they are measured, which the first query waits for with `wait_for_strengths`.
        """
        self._corpus, self._patience = corpus, patience
        self._live = LiveTargets(corpus, patience)
        self._vectors = Vectors(patience)
        self._scales = Scales(wait=wait_for_strengths)
        self._listed: ListedItems | None = None
        self._lock = threading.Lock()

    def by_image(
        self,
        image: bytes | Path | Image.Image,
        *,
        top_k: int = 10,
        filter: Filter | None = None,
        index: str | None = None,
    ) -> Hits:
        """Return the images nearest to an image: its encoded bytes, a `pathlib.Path`, or a Pillow image.

        A text is refused, so that a server can't be made to open a path or an address: whoever has one reads it first.
        """
        if isinstance(image, str):
            raise QueryError(
                "by_image takes bytes, a pathlib.Path or a Pillow image, not a text: pass Path(...), or the bytes that"
                " are at an address"
            )
        return self.search(image, top_k=top_k, filter=filter, index=index)

    def by_text(self, words: str, *, top_k: int = 10, filter: Filter | None = None, index: str | None = None) -> Hits:
        """Return the images nearest to words, with a model that embeds texts too."""
        return self.search(str(words), top_k=top_k, filter=filter, index=index)

    def by_id(self, id: str, *, top_k: int = 10, filter: Filter | None = None, index: str | None = None) -> Hits:
        """Return the images nearest to an item of the corpus, by its id or its key, itself among them."""
        return self.search(ById(id), top_k=top_k, filter=filter, index=index)

    def by_vector(
        self,
        vector: QueryVector | ArrayLike,
        *,
        top_k: int = 10,
        filter: Filter | None = None,
        index: str | None = None,
    ) -> Hits:
        """Return the images nearest to a vector: one that `vector_of` returned, or (dimension,) bare numbers.

        The former is refused where the index holds another model's vectors by now; of the latter nobody knows.
        """
        return self.search(vector, top_k=top_k, filter=filter, index=index)

    def search(
        self,
        query: Term | None = None,
        *,
        plus: Sequence[Term] = (),
        minus: Sequence[Term] = (),
        top_k: int = 10,
        filter: Filter | None = None,
        index: str | None = None,
    ) -> Hits:
        """Return the images nearest to a query, or to the sum of the unit vectors of several; see Term.

        `minus` is subtracted: `search("golden retriever", plus=[image], minus=["fruit"])`.
        """
        if not 1 <= top_k <= MOST_HITS:
            raise QueryError(f"top_k is {top_k}; it can be 1 to {MOST_HITS:,}")
        return self._answered(index, lambda opened: self._search(opened, query, plus, minus, top_k, filter))

    def vector_of(self, query: Term, *, index: str | None = None) -> QueryVector:
        """Return the vector of a query, to be searched for with `by_vector` or used in a combination."""
        return self._answered(index, lambda opened: self._vectors.of(opened.target, query))

    def items(self, ids: Sequence[str]) -> dict[str, ListedItem]:
        """Return those of these items that are in the current listing, by id. Raises DamagedError."""
        for attempt in range(2):
            name = self._live.listing()
            if name is None:
                return {}
            with self._lock:
                if self._listed is None or self._listed.name != name:
                    self._listed = ListedItems(self._corpus.store, name)
                listed = self._listed
            try:
                return listed.of(ids)
            except DamagedError:
                raise
            except TerminalError:  # a run may have removed an old listing right now
                if attempt or self._live.listing(anew=True) == name:
                    raise
        raise AssertionError("the second attempt returns or raises")

    def settle(self) -> None:
        """Wait for what is being prepared behind the queries: strengths, and the table of the listing."""
        self._scales.found()
        if self._listed is not None:
            self._listed.filled()

    def close(self) -> None:
        """End the searcher's thread; nothing may be asked any more."""
        self._vectors.close()

    def __enter__(self) -> Searcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answered(self, index: str | None, answer: Callable[[Opened], Result]) -> Result:
        """Return the answer from one target; where that failed and the target may have changed, from it opened anew."""
        opened = self._live.open(index)
        try:
            return answer(opened)
        except UnknownItemError:
            again = self._checked_anew(index, opened)
            if again is None:
                raise
        except QueryError:
            raise
        except TransientError:
            self._live.forget(opened)
            raise
        except PineryError:
            again = self._live.open(index, instead_of=opened)
        return answer(again)

    def _checked_anew(self, index: str | None, opened: Opened) -> Opened | None:
        """Open a target anew that seems to lack rows, unless that was done a moment ago."""
        return None if opened.age < FRESH_SECONDS else self._live.open(index, instead_of=opened)

    def _search(
        self,
        opened: Opened,
        query: Term | None,
        plus: Sequence[Term],
        minus: Sequence[Term],
        top_k: int,
        filter: Filter | None,
    ) -> Hits:
        vector = self._vectors.combined(opened.target, query, plus, minus)
        found_in = opened.target.index
        values = vector.values.tolist()
        matches = ask(lambda: found_in.query(values, top_k, filter), f"index {found_in.name}", self._patience)
        if not matches and not filter and opened.age >= FRESH_SECONDS:
            raise TerminalError(f"the index {found_in.name} answers with nothing")
        return self._hits(opened, vector, matches)

    def _hits(self, opened: Opened, vector: QueryVector, matches: Sequence[Match]) -> Hits:
        target = opened.target
        listed = self.items([match.id for match in matches])
        scale = self._scales.of(target, self._live.listing()) if vector.of_image else None
        hits = tuple(
            Hit(
                rank,
                match.id,
                match.score,
                match.metadata,
                listed[match.id].uri if match.id in listed else "",
                scale.strength(match.score) if scale else None,
            )
            for rank, match in enumerate(matches, 1)
        )
        strong = scale.strong if scale else None
        return Hits(hits, target.name, target.card.key, opened.generation, strong, vector.id)
