"""The control plane: create, describe, list, configure and delete indexes."""

import math
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from tests.pinecone_server import limits
from tests.pinecone_server.data import DataPlane
from tests.pinecone_server.imports import Holds, Imports
from tests.pinecone_server.settings import Settings
from tests.pinecone_server.shapes import Answer, IndexOrder, control_refusal, index_model, read_create

MAX_TAGS = 20


class Door(Protocol):
    """A port of one index's own."""

    @property
    def url(self) -> str:
        """The address to tell as the index's host."""

    def start(self) -> None:
        """Listen."""

    def stop(self) -> None:
        """Stop listening and break all connections."""


class HostedIndex:
    """One index: its order, its mutable attributes, its data and imports, and its own port if it has one."""

    def __init__(self, order: IndexOrder, settings: Settings, holds: Holds, door: Door | None) -> None:
        self.order = order
        self.tags = {key: value for key, value in limits.check_tags(order.tags).items() if value}
        self.protection = order.deletion_protection
        self.ready_at = time.monotonic() + settings.ready_after
        self._told = not settings.ready_after
        """True once a caller was told that it isn't ready, where it isn't ready at once."""
        self.data = DataPlane(order.dimension, order.metric, settings)
        self.imports = Imports(self.data.spaces, order.dimension, order.metric, order.cloud, settings, holds)
        self.door = door

    @property
    def ready(self) -> bool:
        """True once the index may be used."""
        return self._told and time.monotonic() >= self.ready_at

    @ready.setter
    def ready(self, ready: bool) -> None:
        self._told, self.ready_at = ready, 0.0 if ready else math.inf

    def ask_ready(self) -> bool:
        """Return whether it is ready, and note that a caller asked."""
        ready, self._told = self.ready, True
        return ready


class ControlPlane:
    """All indexes of the one project that this server is."""

    def __init__(self, settings: Settings, open_door: Callable[[str], Door | None]) -> None:
        self._settings, self._open_door = settings, open_door
        self.holds = Holds()
        """The queue in which the imports of all indexes wait."""
        self._indexes: dict[str, HostedIndex] = {}
        self._lock = threading.Lock()

    def create_index(self, body: dict[str, Any], version: str, base: str) -> Answer:
        """POST /indexes."""
        order = read_create(body, version)
        _check_order(order)
        with self._lock:
            if order.name in self._indexes:
                raise control_refusal("Resource  already exists", 409, "ALREADY_EXISTS")
            index = HostedIndex(order, self._settings, self.holds, self._open_door(order.name))
            self._indexes[order.name] = index
        return Answer(self._model(index, version, base, ready=index.ready), 201)

    def describe_index(self, name: str, version: str, base: str) -> Answer:
        """GET /indexes/{name}."""
        index = self.index(name)
        return Answer(self._model(index, version, base, ready=index.ask_ready()))

    def list_indexes(self, version: str, base: str) -> Answer:
        """GET /indexes."""
        with self._lock:
            indexes = list(self._indexes.values())
        return Answer({"indexes": [self._model(index, version, base, ready=index.ask_ready()) for index in indexes]})

    def configure_index(self, name: str, body: dict[str, Any], version: str, base: str) -> Answer:
        """PATCH /indexes/{name}."""
        unknown = set(body) - {"tags", "deletion_protection"}
        if unknown:
            text = f"this local Pinecone configures tags and deletion_protection only, got {sorted(unknown)}"
            raise control_refusal(text, 400, "INVALID_ARGUMENT")
        index, tags = self.index(name), limits.check_tags(body.get("tags"))
        if "deletion_protection" in body:
            _check_protection(body["deletion_protection"])
        with self._lock:
            merged = {key: value for key, value in (index.tags | tags).items() if value}
            _check_tag_count(merged)
            index.tags = merged
            index.protection = body.get("deletion_protection", index.protection)
        return Answer(self._model(index, version, base, ready=index.ready), 202)

    def delete_index(self, name: str) -> Answer:
        """DELETE /indexes/{name}."""
        index = self.index(name)
        if index.protection == "enabled":
            text = "Deletion protection is enabled for this index. Disable deletion protection before retrying."
            raise control_refusal(text, 403, "FORBIDDEN")
        with self._lock:
            self._indexes.pop(name, None)
        if index.door is not None:
            index.door.stop()
        return Answer(status=202)

    @property
    def doors(self) -> list[Door]:
        """The ports of the indexes that have one."""
        with self._lock:
            return [index.door for index in self._indexes.values() if index.door is not None]

    def index(self, name: str) -> HostedIndex:
        """The index of that name; Refused (404) where there is none."""
        with self._lock:
            index = self._indexes.get(name)
        if index is None:
            raise control_refusal(f"Resource {name} not found", 404, "NOT_FOUND")
        return index

    @staticmethod
    def _model(index: HostedIndex, version: str, base: str, ready: bool) -> dict[str, Any]:
        return index_model(
            index.order,
            host=f"{base}/ix/{index.order.name}" if index.door is None else index.door.url,
            ready=ready,
            tags=index.tags,
            protection=index.protection,
            version=version,
        )


def _check_order(order: IndexOrder) -> None:
    limits.check_index_name(order.name)
    if isinstance(order.dimension, bool) or not isinstance(order.dimension, int) or not 1 <= order.dimension <= 20_000:
        raise control_refusal("Dimension must be between 1 and 20000.", 400, "INVALID_ARGUMENT")
    if order.metric not in limits.METRICS:
        text = f"Metric must be one of {', '.join(limits.METRICS)}, got {order.metric}"
        raise control_refusal(text, 400, "INVALID_ARGUMENT")
    if order.region not in limits.REGIONS.get(order.cloud, set()):
        text = f"Resource cloud: {order.cloud} region: {order.region} not found"
        raise control_refusal(text, 404, "NOT_FOUND")
    _check_protection(order.deletion_protection)
    _check_tag_count(limits.check_tags(order.tags))


def _check_protection(value: Any) -> None:
    if value not in ("enabled", "disabled"):
        raise control_refusal("deletion_protection must be 'enabled' or 'disabled'", 400, "INVALID_ARGUMENT")


def _check_tag_count(tags: dict[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise control_refusal(f"An index has at most {MAX_TAGS} tags, got {len(tags)}", 400, "INVALID_ARGUMENT")
