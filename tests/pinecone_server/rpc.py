"""gRPC: calls of one index's VectorService turned into the same requests as REST's, and the answers back."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import DecodeError

from tests.pinecone_server.exchange import Exchange, Request
from tests.pinecone_server.messages import CLASSES
from tests.pinecone_server.routes import Call
from tests.pinecone_server.shapes import UNAVAILABLE, Answer, data_refusal

_METHODS = {
    "Upsert": ("upsert", "UpsertResponse"),
    "Query": ("query", "QueryResponse"),
    "Fetch": ("fetch", "FetchResponse"),
    "FetchByMetadata": ("fetch_by_metadata", "FetchByMetadataResponse"),
    "Delete": ("delete", "DeleteResponse"),
    "Update": ("update", "UpdateResponse"),
    "List": ("list", "ListResponse"),
    "DescribeIndexStats": ("stats", "DescribeIndexStatsResponse"),
    "ListNamespaces": ("list_namespaces", "ListNamespacesResponse"),
    "CreateNamespace": ("create_namespace", "NamespaceDescription"),
    "DescribeNamespace": ("describe_namespace", "NamespaceDescription"),
    "DeleteNamespace": ("delete_namespace", "DeleteResponse"),
}
_STATUSES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 422: 3, 429: 8, 500: 13}
"""gRPC's code for an answer that has none itself; 14, UNAVAILABLE, for all others."""
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_THREADS = 32


class Rpc:
    """A gRPC server of one index, on a free port of `host`."""

    def __init__(self, host: str, index: str, exchange: Exchange) -> None:
        handlers = {
            method: grpc.unary_unary_rpc_method_handler(_handler(method, index, exchange)) for method in _METHODS
        }
        # The exchange judges the size of a request.
        options = [("grpc.max_receive_message_length", -1)]
        self._server = grpc.server(ThreadPoolExecutor(_THREADS, thread_name_prefix="pinecone-grpc"), options=options)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("VectorService", handlers),))
        self.port = self._server.add_insecure_port(f"{host}:0")
        self._server.start()

    def stop(self) -> None:
        """Stop at once."""
        self._server.stop(None).wait()


def _handler(method: str, index: str, exchange: Exchange) -> Callable[[bytes, grpc.ServicerContext], bytes]:
    op, response = _METHODS[method]

    def handle(raw: bytes, context: grpc.ServicerContext) -> bytes:
        sent = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        try:
            body = _decoded(method, raw)
        except DecodeError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{method}Request can't be decoded: {error}")
        parameters = {key: value if isinstance(value, list) else [value] for key, value in body.items()}
        call = Call(op, index, parameters, body.get("namespace", ""))
        answer = exchange.answer(Request(call, len(raw), sent.get("api-key"), lambda: body, protocol="grpc"))
        if answer is None or answer.cut:
            answer = data_refusal("connection reset by peer", 503, UNAVAILABLE).answer
        if answer.status >= 300:
            _refuse(answer, context)
        message = ParseDict(_plain(answer.payload), CLASSES[response](), ignore_unknown_fields=True)
        encoded: bytes = message.SerializeToString()
        return encoded

    return handle


def _decoded(method: str, raw: bytes) -> dict[str, Any]:
    """The request as its JSON form, as REST has it."""
    message = CLASSES[f"{method}Request"].FromString(raw)
    if method != "Upsert":
        return dict(MessageToDict(message))
    # MessageToDict prints each float to find its shortest form; a float32 is exact as it is.
    return {"namespace": message.namespace, "vectors": [_vector(vector) for vector in message.vectors]}


def _vector(message: Any) -> dict[str, Any]:
    vector: dict[str, Any] = {"id": message.id, "values": list(message.values)}
    if message.HasField("metadata"):
        vector["metadata"] = MessageToDict(message.metadata)
    if message.HasField("sparse_values"):
        vector["sparseValues"] = MessageToDict(message.sparse_values)
    return vector


def _refuse(answer: Answer, context: grpc.ServicerContext) -> None:
    payload = answer.payload if isinstance(answer.payload, dict) else {}
    text = payload.get("message") or answer.body.decode(errors="replace")
    if "Retry-After" in answer.headers:
        context.set_trailing_metadata((("retry-after", answer.headers["Retry-After"]),))
    context.abort(_CODES[payload.get("code") or _STATUSES.get(answer.status, 14)], text)


def _plain(payload: Any) -> Any:
    """A payload without arrays."""
    if isinstance(payload, dict):
        return {key: _plain(value) for key, value in payload.items()}
    if isinstance(payload, list):
        return [_plain(value) for value in payload]
    return payload.tolist() if isinstance(payload, np.ndarray) else payload
