"""From what a source found to items: with ids and metadata, and without what can't be read and never was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pinery.records import Item
from pinery.sources.metadata import Describer
from pinery.sources.protocol import Past
from pinery.sources.selection import LeftOut

AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class Found:
    """One image that a source found."""

    key: str
    uri: str
    version: str
    bytes: int
    known: Mapping[str, Any] | None = None
    """What the source knows of it, such as its label."""
    unread: str = ""
    """The kind of what can't be read now, such as `archived (GLACIER)`; empty for all else."""


class Lister:
    """Makes items, and counts what it leaves out.

    What can't be read now is listed only where its bytes were had already: then its row in an index is right, and
    stays. All else of it could only fail.
    """

    def __init__(self, describe: Describer, past: Past) -> None:
        self._describe, self._past = describe, past
        self.left_out = LeftOut()

    def items(self, found: Iterable[Found]) -> Iterator[Item]:
        """The items, in the order of `found`. Raises what the sidecar and `found` raise."""
        self.left_out.clear()
        self._describe.begin()
        waiting: list[Found] = []
        for one in found:
            if not one.unread and not waiting:
                yield self._item(one)
                continue
            waiting.append(one)
            if len(waiting) == AT_ONCE:
                yield from self._had(waiting)
                waiting = []
        yield from self._had(waiting)

    def _had(self, waiting: list[Found]) -> Iterator[Item]:
        asked = [(self._describe.id(one.key), one.version) for one in waiting if one.unread]
        sums = self._past.sums(asked) if asked else {}
        for one in waiting:
            if one.unread and (self._describe.id(one.key), one.version) not in sums:
                self.left_out.count(one.unread)
            else:
                yield self._item(one)

    def _item(self, found: Found) -> Item:
        return self._describe.item(found.key, found.uri, found.version, found.bytes, found.known)
