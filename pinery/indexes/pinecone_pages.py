"""Reading of a Pinecone namespace in pages: all of its ids, and rows by their ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from pinery.indexes.pinecone_session import PineconeSession
from pinery.records import Stored

if TYPE_CHECKING:
    import pinecone
    from pinecone.models.vectors.responses import FetchResponse

FETCH_IDS = 100
FETCH_URL_BYTES = 6000
FETCH_RESULT_BYTES = 3_000_000
"""The most ids, bytes of ids in the URL and bytes of values in the answer for one request of rows."""
VALUE_BYTES = 22
"""The most bytes that a value takes in such an answer."""


def fetch_all(session: PineconeSession, namespace: str, ids: Sequence[str], dimension: int) -> dict[str, Stored]:
    """Return the rows with these ids, of `dimension` values each, by several requests; missing ids are absent."""
    found: dict[str, Stored] = {}
    for group in _fetch_groups(ids, dimension):
        page = session.data(partial(_fetch_page, namespace=namespace, ids=group))
        for id, vector in ({} if page is None else page.vectors).items():
            values = np.asarray(vector.values, dtype=np.float32).tolist()
            found[id] = Stored(tuple(values), vector.metadata or {})
    return found


def _fetch_page(index: pinecone.Index, ids: list[str], namespace: str) -> FetchResponse:
    return index.fetch(ids=ids, namespace=namespace)


class IdPages(Iterator[list[str]]):
    """The ids of a namespace in pages; after an error, the next call asks for the same page again."""

    def __init__(self, session: PineconeSession, namespace: str) -> None:
        self._session, self._namespace = session, namespace
        self._token: str | None = None
        self._ended = False

    def __next__(self) -> list[str]:
        ids: list[str] = []
        while not ids:
            if self._ended:
                raise StopIteration
            page = self._session.data(
                lambda index: index.list_paginated(namespace=self._namespace, pagination_token=self._token)
            )
            self._token = page.pagination.next if page and page.pagination else None
            self._ended = not self._token
            ids = [item.id for item in page.vectors if item.id is not None] if page else []
        return ids


def _fetch_groups(ids: Sequence[str], dimension: int) -> Iterator[list[str]]:
    """Yield the ids in groups, one for each fetch: that is a GET with a short URL, and its answer has at most 4 MB."""
    most = max(1, min(FETCH_IDS, FETCH_RESULT_BYTES // (VALUE_BYTES * dimension)))
    group: list[str] = []
    used = 0
    for id in ids:
        size = len(quote(id, safe="")) + len("&ids=")
        if group and (len(group) == most or used + size > FETCH_URL_BYTES):
            yield group
            group, used = [], 0
        group.append(id)
        used += size
    if group:
        yield group
