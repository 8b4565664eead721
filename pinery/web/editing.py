"""Adding and deleting the images of a folder."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote_to_bytes

from starlette.exceptions import HTTPException

from pinery.errors import BadImageError, MovedError, PineryError, UnknownItemError
from pinery.imaging.decode import decode
from pinery.source_kinds import HEIC_SUFFIXES, IMAGE_SUFFIXES, FolderSource
from pinery.sources.folder import Folder
from pinery.sources.ids import item_id
from pinery.sources.selection import Selection
from pinery.web import items
from pinery.web.folder_edits import add_file, delete_file
from pinery.web.site import ShownCorpus

LONGEST_NAME = 255
"""The bytes that a name may have in most file systems."""
decoding = ThreadPoolExecutor(1, "pinery-upload")
"""Decodes uploads, one at a time: an image may take a gigabyte while it is checked."""


class EditRefused(HTTPException):
    """An edit isn't done; the detail is a sentence for the visitor."""


def editable(shown: ShownCorpus) -> tuple[bool, str]:
    """Return whether images can be added to a corpus and deleted here, and why not."""
    source = shown.config.source
    if not shown.editable:
        return False, "this server only shows; start it with `pinery serve CONFIG --editable` to add and delete images"
    if not isinstance(source, FolderSource):
        return False, f"corpus {shown.name} has a source of kind {source.kind}; only images in a folder are edited here"
    if not os.path.isdir(source.path):
        return False, f"the folder {source.path} isn't there; mount it, or correct `source.path`"
    if not os.access(source.path, os.W_OK | os.X_OK):
        return False, f"this server may not write to the folder {source.path}; correct its mode"
    return True, ""


def folder_of(shown: ShownCorpus) -> FolderSource:
    """Return the folder that may be edited. Raises EditRefused, 403."""
    allowed, why = editable(shown)
    source = shown.config.source
    if not allowed or not isinstance(source, FolderSource):
        raise EditRefused(403, why)
    return source


def refuse_name(source: FolderSource, name: str) -> None:
    """Raise EditRefused, 400, for a name that is no plain one of an image, or that the corpus leaves out."""
    if not name or "/" in name or "\\" in name or name in (".", ".."):
        raise EditRefused(400, f"{name[:100]!r} is no file name; give a plain one, without folders, such as cat.jpg")
    if not name.isprintable() or name != name.strip() or len(name.encode("utf-8", "replace")) > LONGEST_NAME:
        raise EditRefused(
            400, f"{name[:100]!r} can't be a file name here; take at most {LONGEST_NAME} bytes of printable characters"
        )
    select = Selection(source)
    if not name.lower().endswith((*IMAGE_SUFFIXES, *HEIC_SUFFIXES)):
        raise EditRefused(400, f"{name[:100]!r} has no ending of an image, such as .jpg or .png")
    if suffix := select.undecoded(name):
        raise EditRefused(400, f"{suffix} files can't be decoded here; run `pip install pillow-heif`, or send a JPEG")
    if kind := select.leaves_out(name):
        raise EditRefused(400, f"the corpus would leave out {name[:100]!r} ({kind}); choose another name")


def add(shown: ShownCorpus, name: str, data: bytes) -> str:
    """Check an image and write it into the folder; return the id that it will have.

    Raises EditRefused: 403 where nothing may be edited, 400 for a bad name or image, 409 for a name that is taken, and
    503 where the folder can't take it now; LeaseHeldError while another run writes the corpus, for it may not see it.
    """
    source, limits = folder_of(shown), shown.config.run
    refuse_name(source, name)
    if len(data) > limits.max_bytes:
        raise EditRefused(413, f"{name} has more than the {limits.max_bytes:,} bytes that an image may have")
    shown.runs.refuse_if_held()
    if os.path.lexists(os.path.join(source.path, name)):
        raise _taken(name)
    try:
        decode(data, limits.max_pixels)
    except BadImageError as error:
        raise EditRefused(400, f"{name} can't be added: {error}") from None
    try:
        add_file(source.path, name, data)
    except FileExistsError:
        raise _taken(name) from None
    except OSError as error:
        raise EditRefused(503, f"{name} can't be written: {error.strerror or error}") from None
    return item_id(name, source.ids)


def delete(shown: ShownCorpus, id: str) -> None:
    """Delete the file that the current listing has for an id, if it is still the one that was listed.

    Raises UnknownItemError; EditRefused: 403 where nothing may be edited, 409 where the file is another one by now or
    can't be deleted; LeaseHeldError while another run writes the corpus.
    """
    source = folder_of(shown)
    item = items.of(shown, [id]).get(id)
    if item is None:
        raise UnknownItemError(f"no image {id[:100]!r} is listed; look again, it may have been deleted")
    shown.runs.refuse_if_held()
    try:
        Folder(source).fetch(item.uri, item.version, shown.config.run.max_bytes)
    except MovedError as error:
        raise EditRefused(409, f"{error}; nothing was deleted. Index the corpus, and look again") from None
    except BadImageError:
        pass  # it is as large as it was listed
    except PineryError as error:
        raise EditRefused(409, f"{error}; nothing was deleted") from None
    path = os.fsdecode(unquote_to_bytes(item.uri.removeprefix("file://")))
    try:
        delete_file(source.path, path)
    except OSError as error:
        raise EditRefused(409, f"{id} can't be deleted: {error.strerror or error}") from None


def _taken(name: str) -> EditRefused:
    return EditRefused(409, f"there is a file {name} already, and nothing is overwritten; choose another name")
