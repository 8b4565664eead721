"""Routing: a method and a path name an operation, and each operation has a call that carries it out."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.pinecone_server.control import ControlPlane
from tests.pinecone_server.imports import Imports
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
    ("POST", "bulk/imports"): "start_import",
    ("GET", "bulk/imports"): "list_imports",
}
_ONE = {
    ("GET", "namespaces"): "describe_namespace",
    ("DELETE", "namespaces"): "delete_namespace",
    ("GET", "bulk/imports"): "describe_import",
    ("DELETE", "bulk/imports"): "cancel_import",
}
DATA_OPS = frozenset(_DATA.values()) | frozenset(_ONE.values())


@dataclass(frozen=True)
class Call:
    """One request, routed: the operation, the index it is about, and its arguments."""

    op: str
    index: str = ""
    parameters: dict[str, list[str]] | None = None
    item: str = ""
    """The import or the namespace that the path names; of an unknown operation the whole request line."""

    def parameter(self, name: str) -> str | None:
        """A query parameter's first value, None where it isn't given."""
        return (self.parameters or {}).get(name, [None])[0]

    @property
    def is_data(self) -> bool:
        """True where this is an operation of the data plane."""
        return self.op in DATA_OPS


def route(method: str, target: str) -> Call:
    """The call that a request line means; its operation is `unknown` where it means none."""
    path, _, query = target.partition("?")
    segments = [unquote(segment) for segment in path.strip("/").split("/")]
    parameters = parse_qs(query, keep_blank_values=True)
    if segments[0] == "indexes" and (method, len(segments)) in _CONTROL:
        return Call(_CONTROL[method, len(segments)], index=segments[1] if len(segments) == 2 else "")
    if segments[0] == "ix" and len(segments) >= 3:
        op = _DATA.get((method, "/".join(segments[2:])))
        if op is not None:
            return Call(op, segments[1], parameters=parameters)
        op = _ONE.get((method, "/".join(segments[2:-1])))
        if op is not None:
            return Call(op, segments[1], item=segments[-1])
    if (method, path) == ("GET", "/accounts"):
        return Call("accounts")
    return Call("unknown", item=f"{method} {path}")


def carry_out(call: Call, control: ControlPlane, body: dict[str, Any], version: str, base: str) -> Answer:
    """The answer to a call; Refused where it is refused."""
    if call.is_data:
        return _carry_out_data(call, control, body)
    if call.op == "create_index":
        return control.create_index(body, version, base)
    if call.op == "list_indexes":
        return control.list_indexes(version, base)
    if call.op == "describe_index":
        return control.describe_index(call.index, version, base)
    if call.op == "configure_index":
        return control.configure_index(call.index, body, version, base)
    if call.op == "delete_index":
        return control.delete_index(call.index)
    raise control_refusal(f"No such route: {call.item}", 404, "NOT_FOUND")


def _carry_out_data(call: Call, control: ControlPlane, body: dict[str, Any]) -> Answer:
    try:
        index = control.index(call.index)
    except Refused:
        raise data_refusal(f"Index {call.index} not found", 404, NOT_FOUND) from None
    if not index.ready:
        raise data_refusal(f"Index {call.index} is not ready", 503, UNAVAILABLE)
    if call.op.endswith(("_import", "_imports")):
        return _carry_out_import(call, index.imports, body)
    namespace, page = call.parameter("namespace"), _page(call)
    if call.op == "fetch":
        return index.data.fetch((call.parameters or {}).get("ids", []), namespace)
    if call.op == "list":
        return index.data.list(namespace, call.parameter("prefix"), *page)
    if call.op == "list_namespaces":
        return index.data.spaces.list_namespaces(call.parameter("prefix"), *page)
    if call.op == "create_namespace":
        return index.data.spaces.create_namespace(body)
    if call.op == "describe_namespace":
        return index.data.spaces.describe_namespace(call.item)
    if call.op == "delete_namespace":
        return index.data.spaces.delete_namespace(call.item)
    answer: Answer = getattr(index.data, call.op)(body)
    if call.op == "upsert":
        index.imports.note_upsert(answer.namespace, answer.upserted)
    return answer


def _carry_out_import(call: Call, imports: Imports, body: dict[str, Any]) -> Answer:
    if call.op == "start_import":
        return imports.start_import(body)
    if call.op == "list_imports":
        return imports.list_imports(*_page(call))
    if call.op == "describe_import":
        return imports.describe_import(call.item)
    return imports.cancel_import(call.item)


def _page(call: Call) -> tuple[str | None, str | None]:
    return call.parameter("limit"), call.parameter("paginationToken")
