"""The namespaces of one index, and the operations on whole namespaces."""

import base64
import binascii
import bisect
import threading
import time
from typing import Any

from tests.pinecone_server import limits
from tests.pinecone_server.namespace import AT_ONCE, Changes, Namespace
from tests.pinecone_server.settings import Settings
from tests.pinecone_server.shapes import ALREADY_EXISTS, NOT_FOUND, Answer, data_refusal

DEFAULT = "__default__"


class Spaces:
    """Namespaces by name; hold `lock` around every use of one."""

    def __init__(self, dimension: int, settings: Settings) -> None:
        self.lock = threading.RLock()
        self._dimension = dimension
        self._settings = settings
        self._spaces: dict[str, Namespace] = {}
        self._last_lsn: dict[str, int] = {}

    def seen(self, name: str) -> Namespace | None:
        """The namespace with all that is due by now made visible; None where there is none."""
        space = self._spaces.get(name)
        if space is not None and not self._settings.held:
            space.advance(time.monotonic())
        return space

    def existing(self, name: str) -> Namespace:
        """Return the same as `seen`; raise Refused (404) where there is none."""
        space = self.seen(name)
        if space is None:
            raise data_refusal("Namespace not found", 404, NOT_FOUND)
        return space

    def open(self, name: str) -> Namespace:
        """The namespace, created if absent."""
        if name not in self._spaces:
            self._spaces[name] = Namespace(name, self._dimension, self._last_lsn.get(name, 0))
        return self._spaces[name]

    def write(self, space: Namespace, changes: Changes) -> Answer:
        """Commit changes; an empty answer with their LSN."""
        due = time.monotonic() + self._settings.lag if self._settings.lag else AT_ONCE
        return Answer(headers=_committed(space.write(changes, due)))

    def counts(self) -> dict[str, int]:
        """Visible records per visible namespace; the default namespace is `__default__`."""
        with self.lock:
            spaces = {name: self.seen(name) for name in sorted(self._spaces)}
            return {name: len(space.visible) for name, space in spaces.items() if space is not None and space.known}

    def list_namespaces(self, prefix: str | None, limit: Any, token: str | None) -> Answer:
        """GET /namespaces."""
        size = limits.check_page(limit, limits.MAX_PAGE, limits.MAX_PAGE)
        names = [name for name in sorted(self.counts()) if name.startswith(prefix or "")]
        page, after = page_of(names, size, token)
        return Answer({"namespaces": [self._describe(name) for name in page], "total_count": len(names)} | after)

    def create_namespace(self, body: dict[str, Any]) -> Answer:
        """POST /namespaces."""
        name = space_name(body.get("name"))
        with self.lock:
            if name in self._spaces:
                raise data_refusal(f"Namespace '{name}' already exists", 409, ALREADY_EXISTS)
            self.open(name).known = True
            return Answer(self._describe(name), namespace=name)

    def describe_namespace(self, name: str) -> Answer:
        """GET /namespaces/{name}."""
        return Answer(self._describe(space_name(name)), namespace=name)

    def delete_namespace(self, name: str) -> Answer:
        """DELETE /namespaces/{name}."""
        name = space_name(name)
        with self.lock:
            # LSNs stay monotone over a namespace's next life.
            self._last_lsn[name] = self.existing(name).lsn + 1
            del self._spaces[name]
            return Answer({}, headers=_committed(self._last_lsn[name]), namespace=name)

    def _describe(self, name: str) -> dict[str, Any]:
        with self.lock:
            space = self.existing(name)
            size = sum(len(id) + 4 * self._dimension for id in space.visible)
            # The service sends these 64-bit counts as strings.
            return {"name": name, "record_count": str(len(space.visible)), "size_bytes": str(size)}


def space_name(name: Any) -> str:
    """The key of a namespace: `__default__` for none; Refused where it isn't 1 to 512 ASCII characters, or blank."""
    if name in (None, ""):
        return DEFAULT
    if not isinstance(name, str) or not name.isascii() or len(name) > 512 or "\x00" in name or not name.strip():
        raise data_refusal("Namespace must be 1 to 512 ASCII characters, and not only spaces")
    return name


def shown(asked: str | None) -> str:
    """A namespace's name as responses give it: as it was asked for, empty where it wasn't."""
    return asked or ""


def page_of(names: list[str], size: int, token: str | None) -> tuple[list[str], dict[str, Any]]:
    """One page of sorted names after `token`, and the `pagination` entry where more follow."""
    start = 0
    if token:
        try:
            last = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
        except (binascii.Error, UnicodeError):
            raise data_refusal("Invalid pagination token") from None
        start = bisect.bisect_right(names, last)
    page = names[start : start + size]
    if start + size >= len(names):
        return page, {}
    return page, {"pagination": {"next": base64.urlsafe_b64encode(page[-1].encode()).decode()}}


def _committed(lsn: int) -> dict[str, str]:
    return {"x-pinecone-request-lsn": str(lsn)}
