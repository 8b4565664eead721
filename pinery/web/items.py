"""Pages of items for the gallery and the API, and single items by id."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pydantic import BaseModel, ValidationError

from pinery.errors import QueryError, UnknownItemError
from pinery.search.listed import ListedItem
from pinery.sources.ids import MAX_ID_LENGTH
from pinery.web.catalogue import Listed, Place, text_of

if TYPE_CHECKING:
    from pinery.web.site import ShownCorpus

LARGEST_PAGE = 500
LAST_IDS = 3
"""The ids at the end of a page that its cursor holds: the next page starts behind the last that is still listed."""
VERSION_DIGITS = 20


class Cursor(BaseModel, extra="forbid", frozen=True, strict=True):
    """The end of a page, as an opaque text for the client."""

    listing: str
    start: int
    """The position within the filter at which the next page starts in that listing."""
    last: list[str]
    """The ids of the last items of the page, the last one last."""
    filter: str
    """A hash of the filter, since positions mean nothing under another one."""

    def to_text(self) -> str:
        """Return the cursor as it travels in a URL."""
        return base64.urlsafe_b64encode(self.model_dump_json().encode()).decode().rstrip("=")

    @classmethod
    def of(cls, text: str) -> Cursor:
        """Return the cursor in a text. Raises QueryError where it is none of ours."""
        try:
            cursor = cls.model_validate_json(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
        except (ValueError, ValidationError):
            raise QueryError("the cursor is none that this server gave; start again without one") from None
        if cursor.start < 0 or len(cursor.last) > LAST_IDS or any(len(one) > MAX_ID_LENGTH for one in cursor.last):
            raise QueryError("the cursor is none that this server gave; start again without one")
        return cursor


def page(
    shown: ShownCorpus,
    *,
    limit: int = 60,
    cursor: str | None = None,
    start: int | None = None,
    filter: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a page of the current listing's items: `items`, the cursor `next` (None at the end), `total` and `start`.

    It begins where `cursor` says, which another page returned, or at the position `start` within the filter. A cursor
    is followed into a newer listing by the ids that it holds, so that nothing is lost or doubled as long as one of
    them is still listed. Raises QueryError, BadFilterError.
    """
    if not 1 <= limit <= LARGEST_PAGE:
        raise QueryError(f"limit is {limit}; it can be 1 to {LARGEST_PAGE}")
    if cursor is not None and start is not None:
        raise QueryError("give `cursor` or `start`, not both")
    before = None if cursor is None else Cursor.of(cursor)
    if before is not None and before.filter != _hash(text_of(filter)):
        raise QueryError("the cursor belongs to another filter; start again without one")

    def read(listed: Listed) -> dict[str, Any]:
        first = max(0, start or 0) if before is None else _first(listed, before, filter)
        total = listed.total(filter)
        places = listed.page(first, first + limit, filter)
        listed.remember({place.item.id: place.item for place in places})
        end = first + len(places)
        following = Cursor(
            listing=listed.name,
            start=end,
            last=[place.item.id for place in places[-LAST_IDS:]],
            filter=_hash(text_of(filter)),
        )
        items = [_item(shown, first + number, place) for number, place in enumerate(places)]
        return {
            "items": items,
            "next": following.to_text() if places and end < total else None,
            "total": total,
            "start": first,
        }

    return shown.catalogue.ask(read) or {"items": [], "next": None, "total": 0, "start": 0}


def of(shown: ShownCorpus, ids: Sequence[str]) -> dict[str, ListedItem]:
    """Return those of these items that are in the current listing, by id."""
    listed = shown.catalogue.now()
    if listed is None:
        return {}
    found = listed.known(ids)
    missing = [id for id in ids if id not in found]
    if missing:
        with shown.looking_up:  # a first look-up scans the listing, and others may be about to ask for the same
            found |= listed.known(missing)
            settled = listed.settled  # else the searcher may still answer from the listing before
            more = shown.searcher.items([id for id in missing if id not in found])
            if settled:
                listed.remember(more)
        found |= more
    return found


def one(shown: ShownCorpus, id: str) -> ListedItem:
    """Return an item of the current listing. Raises UnknownItemError."""
    found = of(shown, [id]).get(id)
    if found is None:
        raise UnknownItemError(f"corpus {shown.name} lists no item {id[:MAX_ID_LENGTH]!r} (any more)")
    return found


def pictures_of(shown: ShownCorpus, id: str, item: ListedItem | None) -> dict[str, str]:
    """Return the addresses of an item's `thumb` and `image` on this server; for one that isn't listed, without `v`."""
    asked = {"corpus": shown.name, "id": id} | ({"v": version_of(shown, item)} if item else {})
    query = urlencode(asked)
    return {"thumb": f"/thumb?{query}", "image": f"/image?{query}"}


def version_of(shown: ShownCorpus, item: ListedItem) -> str:
    """Return what an item's addresses have as `v`: it changes when the image's bytes do."""
    text = "\0".join([shown.name, item.id, item.version])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:VERSION_DIGITS]


def _item(shown: ShownCorpus, position: int, place: Place) -> dict[str, Any]:
    item = place.item
    own = {"id": item.id, "position": position, "metadata": item.metadata}
    return own | pictures_of(shown, item.id, item)


def _first(listed: Listed, before: Cursor, filter: Mapping[str, Any] | None) -> int:
    """Return the position within the filter that follows a cursor."""
    if before.listing == listed.name or not before.last:
        return before.start
    found = listed.find(before.last)
    for id in reversed(before.last):
        if id in found:
            return listed.before(found[id] + 1, filter)
    return before.start


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
