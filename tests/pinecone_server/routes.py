"""From a method and a path to an operation's name, and from there to the call that carries it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.pinecone_server.control import ControlPlane
from tests.pinecone_server.shapes import NOT_FOUND, UNAVAILABLE, Answer, Refused, control_refusal, data_refusal

_CONTROL = {
    ("POST", 1): "create_index",
    ("GET", 1): "list_indexes",
    ("GET", 2): "describe_index",
    ("PATCH", 2): "configure_index",
    ("DELETE", 2): "delete_index",
}
_DATA = {
    ("POST", "vectors/upsert"): "upsert",
    ("POST", "query"): "query",
    ("GET", "vectors/fetch"): "fetch",
    ("POST", "vectors/fetch_by_metadata"): "fetch_by_metadata",
    ("POST", "vectors/delete"): "delete",
    ("POST", "vectors/update"): "update",
    ("GET", "vectors/list"): "list",
    ("POST", "describe_index_stats"): "stats",
    ("GET", "namespaces"): "list_namespaces",
    ("POST", "namespaces"): "create_namespace",
}
_NAMESPACE = {"GET": "describe_namespace", "DELETE": "delete_namespace"}


@dataclass(frozen=True)
class Call:
    """One request, routed: the operation, the index it is about, and its arguments."""

    op: str
    index: str = ""
    namespace: str = ""
    parameters: dict[str, list[str]] | None = None

    def parameter(self, name: str) -> str | None:
        """A query parameter's first value, None where it isn't given."""
        return (self.parameters or {}).get(name, [None])[0]

    @property
    def is_control(self) -> bool:
        """Whether this is an operation of the control plane."""
        return self.op in _CONTROL.values()


def route(method: str, target: str) -> Call:
    """The call that a request line means; Refused (404) where it means none."""
    path, _, query = target.partition("?")
    segments = [unquote(segment) for segment in path.strip("/").split("/")]
    parameters = parse_qs(query, keep_blank_values=True)
    if segments[0] == "indexes" and (method, len(segments)) in _CONTROL:
        return Call(_CONTROL[method, len(segments)], index=segments[1] if len(segments) == 2 else "")
    if segments[0] == "ix" and len(segments) >= 3:
        op = _DATA.get((method, "/".join(segments[2:])))
        if op is not None:
            return Call(op, segments[1], parameters=parameters)
        if segments[2] == "namespaces" and len(segments) == 4 and method in _NAMESPACE:
            return Call(_NAMESPACE[method], segments[1], segments[3])
    raise control_refusal(f"No such route: {method} {path}", 404, "NOT_FOUND")


def carry_out(call: Call, control: ControlPlane, body: dict[str, Any], version: str, base: str) -> Answer:
    """The answer to a call; Refused where it is refused."""
    if not call.is_control:
        return _carry_out_data(call, control, body)
    if call.op == "create_index":
        return control.create_index(body, version, base)
    if call.op == "list_indexes":
        return control.list_indexes(version, base)
    if call.op == "describe_index":
        return control.describe_index(call.index, version, base)
    if call.op == "configure_index":
        return control.configure_index(call.index, body, version, base)
    return control.delete_index(call.index)


def _carry_out_data(call: Call, control: ControlPlane, body: dict[str, Any]) -> Answer:
    try:
        index = control.index(call.index)
    except Refused:
        raise data_refusal(f"Index {call.index} not found", 404, NOT_FOUND) from None
    if not index.ready:
        raise data_refusal(f"Index {call.index} is not ready", 503, UNAVAILABLE)
    namespace = call.parameter("namespace")
    page = call.parameter("prefix"), call.parameter("limit"), call.parameter("paginationToken")
    if call.op == "fetch":
        return index.data.fetch((call.parameters or {}).get("ids", []), namespace)
    if call.op == "list":
        return index.data.list(namespace, *page)
    if call.op == "list_namespaces":
        return index.data.spaces.list_namespaces(*page)
    if call.op == "create_namespace":
        return index.data.spaces.create_namespace(body)
    if call.op == "describe_namespace":
        return index.data.spaces.describe_namespace(call.namespace)
    if call.op == "delete_namespace":
        return index.data.spaces.delete_namespace(call.namespace)
    return getattr(index.data, call.op)(body)  # type: ignore[no-any-return]
