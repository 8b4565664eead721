"""The pictures of items: thumbnails and originals, by id out of the listing and by nothing else."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from pinery.errors import TransientError
from pinery.search.listed import ListedItem
from pinery.web import items
from pinery.web.no_picture import NOT_KEPT, no_picture
from pinery.web.parameters import ItemId, Shown, Version
from pinery.web.pictures import NoPictureError, Original
from pinery.web.shapes import FAILURES
from pinery.web.site import ShownCorpus

router = APIRouter(tags=["pictures"], responses=FAILURES)
Result = TypeVar("Result")
Token = Annotated[str, Query(description="`query_image` of an answer.", min_length=1, max_length=64)]
FOR_EVER = "private, max-age=31536000, immutable"
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/*": {}}, "description": "The picture; with the right `v` it may be kept for ever."},
    307: {"description": "`v` is missing or out of date: the address with the right one."},
}
MOST_ORIGINALS = 16
"""Original images that are sent at once, each of up to `run.max_bytes`."""


@router.get("/thumb", summary="The small picture of an item", response_class=Response, responses=PICTURE)
async def thumb(request: Request, shown: Shown, id: ItemId, v: Version = None) -> Response:
    """Return an item's picture as WebP, whose short side has 256 pixels; an SVG with the reason where there is none."""
    pictures = shown.pictures

    def kept() -> tuple[ListedItem, str, bytes | None]:
        item = items.one(shown, id)
        version = items.version_of(shown, item)
        return item, version, pictures.kept(version) if v == version else None

    try:
        item, version, data = await _result(pictures.studio.look_up(kept))
        if v != version:
            return _moved("/thumb", shown, id, version)
        if _is_known(request, version):
            return Response(None, 304, _kept_for_ever(version))
        if data is None:
            data = await _result(pictures.thumb(item, version))
    except NoPictureError as error:
        return no_picture(str(error))
    return Response(data, 200, _kept_for_ever(version), "image/webp")


@router.get("/image", summary="The image of an item, as in the source", response_class=Response, responses=PICTURE)
async def image(request: Request, shown: Shown, id: ItemId, v: Version = None) -> Response:
    """Return an item's own bytes; a kind that browsers don't show is converted to JPEG, and no image is only saved."""
    pictures = shown.pictures

    def found() -> tuple[ListedItem, str]:
        item = items.one(shown, id)
        return item, items.version_of(shown, item)

    item, version = await _result(pictures.studio.look_up(found))
    if v != version:
        return _moved("/image", shown, id, version)
    if _is_known(request, version):
        return Response(None, 304, _kept_for_ever(version))
    originals: Originals = request.app.state.originals
    originals.begin()
    try:
        original = await _result(pictures.original(item, version))
    except BaseException as error:
        originals.end()
        if isinstance(error, NoPictureError):
            return no_picture(str(error))
        raise
    return Sent(original, _kept_for_ever(version), originals)


class Originals:
    """Counts the originals that are in memory to be sent; all of it happens on the event loop."""

    def __init__(self, most: int = MOST_ORIGINALS) -> None:
        self._most, self._now = most, 0

    def begin(self) -> None:
        """Count one more. Raises TransientError where they are too many."""
        if self._now >= self._most:
            raise TransientError("too many images are being sent; try again in some seconds", retry_after=2)
        self._now += 1

    def end(self) -> None:
        """Count one less."""
        self._now -= 1


class Sent(Response):
    """An original, which is let go of once it is sent or the client has gone."""

    def __init__(self, original: Original, headers: dict[str, str], originals: Originals) -> None:
        how = "inline" if original.inline else "attachment"
        name = f"{how}; filename*=UTF-8''{quote(original.name, safe='')}"
        super().__init__(original.data, 200, headers | {"content-disposition": name}, original.kind)
        self._originals = originals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._originals.end()


@router.get(
    "/query-image",
    summary="The small picture of an image to search by",
    response_class=Response,
    responses=PICTURE,
)
def query_image(shown: Shown, token: Token) -> Response:
    """Return the picture as WebP, as long as the server remembers it."""
    return Response(shown.query_images.get(token).thumb, 200, _kept_for_ever(token), "image/webp")


async def _result(future: Future[Result]) -> Result:
    """Wait for a thread's result; whoever goes away meanwhile takes it from nobody else."""
    return await asyncio.shield(asyncio.wrap_future(future))


def _is_known(request: Request, version: str) -> bool:
    tags = request.headers.get("if-none-match", "")
    return any(tag.strip().removeprefix("W/") == f'"{version}"' for tag in tags.split(","))


def _kept_for_ever(version: str) -> dict[str, str]:
    return {"etag": f'"{version}"', "cache-control": FOR_EVER}


def _moved(path: str, shown: ShownCorpus, id: str, version: str) -> Response:
    query = urlencode({"corpus": shown.name, "id": id, "v": version})
    return RedirectResponse(f"{path}?{query}", 307, {"cache-control": NOT_KEPT})
