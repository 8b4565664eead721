"""A source's findings become batches of a listing: in order, soon, and bounded by rows and bytes."""

from collections.abc import Iterator

from pinery.records import LISTING_SCHEMA
from pinery.source_kinds import FolderSource
from pinery.sources.lister import BATCH_BYTES, BATCH_ROWS, FIRST_ROWS, Found, Lister
from pinery.sources.metadata import Describer
from pinery.sources.protocol import NoPast


def lister() -> Lister:
    return Lister(Describer(FolderSource(kind="folder", path="/images")), NoPast())


def found(count: int, text: str = "") -> Iterator[Found]:
    for number in range(count):
        yield Found(f"{number}.jpg", f"file:///{number}.jpg", "v1", number, {"text": text}, group="g")


def test_every_item_is_listed_once_and_in_order() -> None:
    batches = list(lister().batches(found(20_000)))
    assert [one.as_py() for batch in batches for one in batch["id"]] == [f"{number}.jpg" for number in range(20_000)]
    assert all(batch.schema == LISTING_SCHEMA for batch in batches)
    assert {one.as_py() for batch in batches for one in batch["group"]} == {"g"}
    assert max(batch.num_rows for batch in batches) == BATCH_ROWS


def test_the_first_items_come_before_the_next_are_found() -> None:
    taken = found(100_000)
    assert next(lister().batches(taken)).num_rows == FIRST_ROWS
    assert next(taken).key == f"{FIRST_ROWS}.jpg"


def test_batches_are_bounded_by_the_bytes_of_their_metadata() -> None:
    batches = list(lister().batches(found(2000, "x" * 40_000)))
    assert sum(batch.num_rows for batch in batches) == 2000
    assert max(batch.nbytes for batch in batches) < 2 * BATCH_BYTES
