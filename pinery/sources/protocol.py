"""What Pinery asks of a source; `folder`, `torchvision` and `s3` are the kinds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from pinery.errors import BadImageError
from pinery.records import Item


class Source(Protocol):
    """Where a corpus lives. `fetch` may be called from many threads at once."""

    def check(self) -> None:
        """Find out early whether the source can be reached.

        Raises ConfigError where the settings can't work, AccessDeniedError, TransientError.
        """

    def list_items(self) -> Iterator[Item]:
        """Every item once, lazily and in an order that is the same for the same corpus.

        Raises what `check` raises, at any point of the iteration; a listing cut short is no listing.
        """

    def fetch(self, uri: str, version: str, max_bytes: int) -> bytes:
        """The encoded image that was listed under `uri` with `version`.

        Raises MovedError where the item vanished or changed since it was listed, BadImageError where it is larger
        than `max_bytes`, AccessDeniedError, TransientError.
        """


def check_size(size: int, max_bytes: int) -> None:
    """Raise BadImageError where `size` bytes are more than `max_bytes`."""
    if size > max_bytes:
        raise BadImageError(f"the file has {size:,} bytes, more than the limit of {max_bytes:,} (run.max_bytes)")
