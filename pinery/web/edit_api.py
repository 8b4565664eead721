"""The API by which a corpus is edited and indexed, and the forms of the pages that do the same."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from pinery.errors import PineryError
from pinery.sources.ids import MAX_ID_LENGTH
from pinery.web import editing, failures
from pinery.web.editing import EditRefused
from pinery.web.flash import Flash
from pinery.web.limits import MOST_FILES
from pinery.web.parameters import ItemId, Shown
from pinery.web.runs import Wish
from pinery.web.shapes import FAILURES, Failure, Shape
from pinery.web.site import ShownCorpus
from pinery.web.uploads import read_body, read_form

IMAGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}
Name = Annotated[str, Query(description="The file's name, without folders.", min_length=1, max_length=255)]
AllowDeletes = Annotated[
    bool, Query(description="Let the run delete more than the corpus' delete_guard, such as the one image of three.")
]


class RunShape(Shape):
    """The run that this server started last."""

    running: bool
    run: str | None = Field(description="Its name, once it has one.")
    stage: str = Field(description="What it does now; empty while none goes on.")
    done: int = Field(description="The items that are done in that stage.")
    total: int = Field(description="The items of that stage, 0 where that isn't known.")
    message: str = Field(description="How it ended, in a sentence; before that, what it waits for.")
    exit_code: int | None = Field(description="As of `pinery run`: 0 done, 1 failed, 2 wrong config, 3 refused.")
    allow_deletes: bool = Field(description="Whether `POST /api/runs?allow_deletes=true` is the way out of a refusal.")
    waiting: bool = Field(description="Whether another run follows this one.")


class AddedShape(Shape):
    """An image that was added."""

    id: str
    name: str
    run: RunShape


class DeletedShape(Shape):
    """An image that was deleted."""

    id: str
    run: RunShape


EDIT_FAILURES: dict[int | str, dict[str, Any]] = FAILURES | {
    403: {"model": Failure, "description": "The corpus can't be edited here; `error` says why."},
    409: {"model": Failure, "description": "Another run writes the corpus, the name is taken, or the file changed."},
    413: {"model": Failure, "description": "The image has more bytes than the corpus takes."},
}
router = APIRouter(tags=["edit"], responses=EDIT_FAILURES)
forms = APIRouter(include_in_schema=False)


@router.post("/api/items", status_code=201, openapi_extra=IMAGE_BODY, response_model=AddedShape)
async def add_item(request: Request, shown: Shown, name: Name) -> dict[str, Any]:
    """Add an image to the corpus' folder, and have a run index it."""
    editing.refuse_name(editing.folder_of(shown), name)
    data = await _image(request, shown.config.run.max_bytes)
    return {"id": await _added(shown, name, data), "name": name, "run": await _wished(shown, Wish())}


@router.delete("/api/items", response_model=DeletedShape)
def delete_item(shown: Shown, id: ItemId) -> dict[str, Any]:
    """Delete an image's file from the corpus' folder, and have a run take it out of the index."""
    editing.delete(shown, id)
    return {"id": id, "run": shown.runs.wish(Wish())}


@router.post("/api/runs", status_code=202, response_model=RunShape)
def start_run(shown: Shown, allow_deletes: AllowDeletes = False) -> dict[str, Any]:
    """Start a run of the corpus; where one is under way, another one follows it."""
    editing.folder_of(shown)
    return shown.runs.wish(Wish(allow_deletes))


@router.get("/api/runs/current", response_model=RunShape)
def current_run(shown: Shown) -> dict[str, Any]:
    """Tell how far the run of the corpus is that this server started, or how the last one ended."""
    return shown.runs.current()


@forms.post("/items")
async def add_by_form(request: Request, shown: Shown) -> Response:
    """Add the files of a form."""
    try:
        editing.folder_of(shown)
        form = await whole_form(request)
        try:
            files = [one for one in form.getlist("files") if isinstance(one, UploadFile) and one.filename]
            text, bad = await _add_all(shown, files)
        finally:
            await form.close()
    except (PineryError, HTTPException) as error:
        text, bad = failures.told(error)[1], True
    return _back(request, shown, text, bad)


@forms.post("/items/delete")
def delete_by_form(
    request: Request, shown: Shown, id: Annotated[str, Form(min_length=1, max_length=MAX_ID_LENGTH)]
) -> Response:
    """Delete the item that a form names."""
    try:
        editing.delete(shown, id)
        shown.runs.wish(Wish())
        text, bad = f"{id} is deleted from its folder; a run takes it out of the index", False
    except (PineryError, HTTPException) as error:
        text, bad = failures.told(error)[1], True
    return _back(request, shown, text, bad)


@forms.post("/runs")
def run_by_form(request: Request, shown: Shown, allow_deletes: Annotated[bool, Form()] = False) -> Response:
    """Start a run, as a form asks for."""
    try:
        editing.folder_of(shown)
        shown.runs.wish(Wish(allow_deletes))
        text, bad = "a run indexes the corpus; what it changes is found once it has ended", False
    except (PineryError, HTTPException) as error:
        text, bad = failures.told(error)[1], True
    return _back(request, shown, text, bad)


async def whole_form(request: Request) -> FormData:
    """Return the form of images in a body, whose files the caller closes.

    Raises EditRefused, 400, where it is no such form, and what `read_form` raises.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise EditRefused(400, "images are sent as a form of type multipart/form-data, in its field `files`")
    return await read_form(request, request.stream(), max_files=MOST_FILES, max_fields=20)


async def _add_all(shown: ShownCorpus, files: list[UploadFile]) -> tuple[str, bool]:
    if not files:
        return "no image was chosen", True
    added, problems = 0, list[str]()
    for file in files:
        try:
            editing.refuse_name(editing.folder_of(shown), file.filename or "")
            await _added(shown, file.filename or "", await file.read(shown.config.run.max_bytes + 1))
            added += 1
        except (PineryError, HTTPException) as error:
            problems.append(failures.told(error)[1])
    if added:
        await _wished(shown, Wish())
    images = f"{added:,} image{'' if added == 1 else 's'} added; a run indexes {'it' if added == 1 else 'them'}"
    said = [images] * bool(added) + problems[:5] + [f"{len(problems) - 5} more were not added"] * (len(problems) > 5)
    return ". ".join(said), bool(problems)


async def _added(shown: ShownCorpus, name: str, data: bytes) -> str:
    return await asyncio.get_running_loop().run_in_executor(editing.decoding, editing.add, shown, name, data)


async def _wished(shown: ShownCorpus, wish: Wish) -> dict[str, Any]:
    return await run_in_threadpool(shown.runs.wish, wish)


async def _image(request: Request, most: int) -> bytes:
    """Return the image in a body. Raises EditRefused, 400, for an empty one, and what `read_body` raises."""
    data = await read_body(request, most)
    if not data:
        raise EditRefused(400, "the body is empty; send the image's bytes in it")
    return data


def _back(request: Request, shown: ShownCorpus, text: str, bad: bool) -> Response:
    flash: Flash = request.app.state.flash
    return RedirectResponse("/?" + urlencode({"corpus": shown.name, "said": flash.keep(text, bad)}), 303)
