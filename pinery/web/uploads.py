"""The image in a request's body: the body itself, or a file in a form; never more of it than is allowed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from pinery.errors import BadQueryImageError
from pinery.web.parameters import Shown

FORM_BYTES = 64 << 10
"""Bytes that a form may have beside its image."""
MOST_FIELDS, MOST_FIELD_BYTES = 40, 8192
IMAGE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        "image": {"type": "string", "format": "binary", "description": "The encoded image."}
                    },
                }
            },
        },
    }
}
"""The API's description of such a body."""


async def uploaded_image(request: Request, shown: Shown) -> bytes:
    """Return the image in a body. Raises BadQueryImageError; HTTPException 413 for a body that is too large."""
    limit = shown.config.run.max_bytes
    if not request.headers.get("content-type", "").lower().startswith("multipart/"):
        return await read_body(request, limit)
    form = await uploaded_form(request, limit + FORM_BYTES)
    try:
        file = form.get("image")
        if not isinstance(file, UploadFile):
            raise BadQueryImageError("the form has no file of the name `image`")
        return await file.read()
    finally:
        await form.close()


async def uploaded_form(request: Request, limit: int) -> FormData:
    """Return a form of at most `limit` bytes, whose files the caller closes; raises what `uploaded_image` does."""
    data = await read_body(request, limit)

    async def stream() -> AsyncGenerator[bytes, None]:
        yield data

    return await read_form(request, stream(), max_files=1, max_fields=MOST_FIELDS, max_part_size=MOST_FIELD_BYTES)


async def read_form(request: Request, stream: AsyncGenerator[bytes, None], **limits: int) -> FormData:
    """Return the form in a stream, whose files the caller closes. Raises BadQueryImageError where it isn't whole."""
    try:
        return await WholeParts(request.headers, stream, **limits).parse()
    except MultiPartException as error:
        raise BadQueryImageError(f"the form can't be read: {error.message.rstrip('.')}") from None
    except (KeyError, UnicodeError, AssertionError):
        raise BadQueryImageError("the form can't be read: its headers are damaged") from None
    except ClientDisconnect:
        raise BadQueryImageError("the form ended before it was whole") from None


class WholeParts(MultiPartParser):
    """Reads the parts of a form, and demands its end: what is cut off must not pass as a form with fewer files."""

    ended = False

    def on_end(self) -> None:
        """Note the end, which the parser finds in the data."""
        self.ended = True

    async def parse(self) -> FormData:
        """Return the form. Raises MultiPartException."""
        form = await super().parse()
        if not self.ended:
            await form.close()
            raise MultiPartException("it is cut off")
        return form


async def read_body(request: Request, limit: int) -> bytes:
    """Return a body of at most `limit` bytes; reading ends at the first byte too many.

    Raises HTTPException 413 for a larger one, and BadQueryImageError where it ends too early.
    """
    told = request.headers.get("content-length", "0")
    if told.isdecimal() and int(told) > limit:
        raise _too_large(limit)
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > limit:
                raise _too_large(limit)
    except ClientDisconnect:
        raise BadQueryImageError("the body ended before it was whole") from None
    return bytes(data)


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"the body is too large: {limit:,} bytes are allowed")
