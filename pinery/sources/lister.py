"""Makes a listing of what a source found, with ids and metadata, and without what can't be read and never was."""

from collections.abc import Iterable, Iterator
from itertools import islice

import pyarrow as pa

from pinery.parquet.batches import batch_of
from pinery.records import LISTING_SCHEMA, Item
from pinery.sources.found import Found
from pinery.sources.metadata import Describer
from pinery.sources.protocol import Past
from pinery.sources.selection import LeftOut

FIRST_ROWS, BATCH_ROWS, BATCH_BYTES = 128, 8192, 8 << 20
"""A batch has at most so many items, and ends when their metadata is so large. The first ones are smaller: who wants to
see only some images needn't wait for thousands to be listed."""


class Lister:
    """Makes the batches of a listing, and counts what it leaves out.

    What can't be read now is listed only where its bytes were read before: then its row in an index is right, and
    stays. Anything else that can't be read could only fail.
    """

    def __init__(self, describe: Describer, past: Past) -> None:
        self._describe, self._past = describe, past
        self.left_out = LeftOut()

    def batches(self, found: Iterable[Found]) -> Iterator[pa.RecordBatch]:
        """Yield the items in batches (LISTING_SCHEMA), in the order of `found`.

        Raises what `found` and the sidecar raise.
        """
        self.left_out.clear()
        self._describe.begin()
        for some in _in_growing_lists(found):
            for items in _bounded(self._describe.items(self._readable(some))):
                columns = {name: [getattr(item, name) for item in items] for name in LISTING_SCHEMA.names}
                yield batch_of(columns, LISTING_SCHEMA)

    def _readable(self, found: list[Found]) -> list[Found]:
        asked = [(self._describe.id(one.key), one.version) for one in found if one.unread]
        if not asked:
            return found
        read_before, listed = self._past.sums(asked), []
        for one in found:
            if one.unread and (self._describe.id(one.key), one.version) not in read_before:
                self.left_out.count(one.unread)
            else:
                listed.append(one)
        return listed


def _in_growing_lists(found: Iterable[Found]) -> Iterator[list[Found]]:
    found, size = iter(found), FIRST_ROWS
    while some := list(islice(found, size)):
        yield some
        size = min(2 * size, BATCH_ROWS)


def _bounded(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield the items in lists whose metadata is at most about BATCH_BYTES."""
    some: list[Item] = []
    size = 0
    for item in items:
        some.append(item)
        size += len(item.metadata)
        if size >= BATCH_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some
