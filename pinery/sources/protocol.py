"""The interface that every kind of source has, and the one by which a source asks the state what it remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from pinery.errors import BadImageError, ItemDeniedError, MovedError

Fetched = bytes | BadImageError | ItemDeniedError | MovedError
"""An item's encoded image, or why there is none."""


class Source(Protocol):
    """Where a corpus lives. `read` and `fetch` may be called from many threads at once."""

    @property
    def left_out(self) -> Mapping[str, int]:
        """How many files the newest listing left out, by kind, such as `.heic`, `hidden` or `excluded`.

        The counts are complete once the listing has ended.
        """

    def check(self) -> None:
        """Find out early whether the source can be reached.

        Raises ConfigError where the settings can't work, AccessDeniedError, TransientError.
        """

    def list_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield every item once, in batches with the columns of LISTING_SCHEMA, a row an item.

        The batches come lazily, the first ones soon, and in an order that is the same for the same corpus. Each fits
        into memory, whatever the metadata. Raises what `check` raises, at any point of the iteration; a listing cut
        short is no listing.
        """

    def remarks(self) -> list[str]:
        """Return what a user should know of the newest listing, such as a sidecar that matches little, a line each."""

    def read(self, items: Sequence[tuple[str, str]], max_bytes: int) -> Sequence[Fetched]:
        """Return the encoded image of each (uri, version), or the error for which it has none, in order.

        Raises AccessDeniedError, TransientError, whichever item they are about.
        """

    def fetch(self, uri: str, version: str, max_bytes: int) -> bytes:
        """Return the encoded image that was listed under `uri` with `version`.

        Raises MovedError where the item vanished or changed since it was listed, BadImageError where it is larger
        than `max_bytes`, ItemDeniedError where access to this item is denied, which may say nothing of the others,
        AccessDeniedError, TransientError.
        """


class Past(Protocol):
    """What the state remembers of a corpus' items, which a source can't tell from the items alone."""

    def cache(self) -> Path | None:
        """Return a local folder for what the source remembers between listings, or None if there is none."""

    def listed_at(self) -> int:
        """Return when the run of the current listing began, in nanoseconds since 1970, or 0 if there is no listing."""

    def marked(self) -> Mapping[str, str]:
        """Return the versions in the current listing that have a third part, by id."""

    def sums(self, items: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
        """Return the SHA-256 in hex of each of these (id, version) whose bytes were read by some run."""

    def below(self, uri: str) -> Iterator[tuple[str, str, int]]:
        """Yield uri, version and size in bytes of each item that the current listing has at `uri` or below it."""


class NoPast:
    """The past of a corpus that nothing is remembered of."""

    def cache(self) -> Path | None:
        """See Past."""
        return None

    def listed_at(self) -> int:
        """See Past."""
        return 0

    def marked(self) -> Mapping[str, str]:
        """See Past."""
        return {}

    def sums(self, items: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], str]:  # noqa: ARG002
        """See Past."""
        return {}

    def below(self, uri: str) -> Iterator[tuple[str, str, int]]:  # noqa: ARG002
        """See Past."""
        return iter(())


def read_each(
    fetch: Callable[[str, str, int], bytes], items: Sequence[tuple[str, str]], max_bytes: int
) -> list[Fetched]:
    """Return what `Source.read` does, for a source that reads one item at a time."""
    found: list[Fetched] = []
    for uri, version in items:
        try:
            found.append(fetch(uri, version, max_bytes))
        except (BadImageError, ItemDeniedError, MovedError) as error:
            found.append(error)
    return found


def check_size(size: int, max_bytes: int) -> None:
    """Raise BadImageError where `size` bytes are more than `max_bytes`."""
    if size > max_bytes:
        raise BadImageError(f"the file has {size:,} bytes, more than the limit of {max_bytes:,} (run.max_bytes)")
