"""Messages on the wire: answers, refusals of both planes, and an index in both API shapes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

NEW_API = "2026-07"
"""From this API version on an index is described by schema and deployment, before by dimension, metric and spec."""

CAPACITY_API = "2025-10"
"""From this API version on an index tells its read capacity."""

INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, RESOURCE_EXHAUSTED, OUT_OF_RANGE, INTERNAL, UNAVAILABLE = (
    3,
    5,
    6,
    8,
    11,
    13,
    14,
)


@dataclass
class Answer:
    """One response, and what the request log notes about it."""

    payload: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    namespace: str = ""
    records: int = 0
    write_units: int = 0
    upserted: Sequence[str] = ()
    """The ids that an upsert wrote."""
    cut: bool = False
    """True where the connection breaks amid the body."""

    @property
    def body(self) -> bytes:
        """The encoded payload: bytes as they are, None as nothing, all else as JSON."""
        if self.payload is None:
            return b""
        if isinstance(self.payload, bytes):
            return self.payload
        return orjson.dumps(self.payload, option=orjson.OPT_SERIALIZE_NUMPY)


class Refused(Exception):
    """The request is refused with `answer`."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(answer.status, answer.payload)


def data_refusal(message: str, status: int = 400, code: int = INVALID_ARGUMENT) -> Refused:
    """A refusal of the data plane: a google rpcStatus."""
    return Refused(Answer({"code": code, "message": message, "details": []}, status))


def control_refusal(message: str, status: int, code: str) -> Refused:
    """A refusal of the control plane."""
    return Refused(Answer({"error": {"code": code, "message": message}, "status": status}, status))


def text_refusal(message: str, status: int) -> Refused:
    """A refusal without JSON, as gateways answer."""
    return Refused(Answer(message.encode(), status, content_type="text/plain"))


@dataclass(frozen=True)
class IndexOrder:
    """The content of a create request, whichever shape it came in."""

    name: Any
    dimension: Any
    metric: Any
    cloud: Any
    region: Any
    tags: Any
    deletion_protection: Any


def read_create(body: dict[str, Any], version: str) -> IndexOrder:
    """The order in a create request of the API `version`; Refused (400, 422) where its shape is another."""
    common = {
        "name": body.get("name"),
        "tags": body.get("tags"),
        "deletion_protection": body.get("deletion_protection", "disabled"),
    }
    if version < NEW_API:
        spec = body.get("spec")
        place = spec.get("serverless") if isinstance(spec, dict) else None
        if not isinstance(place, dict):
            raise control_refusal("Invalid request: `spec.serverless` is required", 422, "UNPROCESSABLE_ENTITY")
        vector = {"dimension": body.get("dimension"), "metric": body.get("metric", "cosine")}
    else:
        fields = (body.get("schema") or {}).get("fields")
        if not isinstance(fields, dict) or set(fields) != {"_values"}:
            raise control_refusal(
                "this local Pinecone serves classic dense indexes only: schema.fields must be {'_values': ...}",
                400,
                "INVALID_ARGUMENT",
            )
        vector = {"dimension": fields["_values"].get("dimension"), "metric": fields["_values"].get("metric", "cosine")}
        place = body.get("deployment") or {"cloud": "aws", "region": "us-east-1"}
    return IndexOrder(**common, **vector, cloud=place.get("cloud"), region=place.get("region"))


def index_model(
    order: IndexOrder, *, host: str, ready: bool, tags: dict[str, str], protection: str, version: str
) -> dict[str, Any]:
    """An index as the API `version` describes it."""
    model: dict[str, Any] = {
        "name": order.name,
        "host": host,
        "status": {"ready": ready, "state": "Ready" if ready else "Initializing"},
        "deletion_protection": protection,
        "tags": tags or None,
    }
    vector = {"dimension": order.dimension, "metric": order.metric}
    place = {"cloud": order.cloud, "region": order.region}
    capacity = {"read_capacity": {"mode": "OnDemand", "status": {"state": "Ready"}}}
    if version < NEW_API:
        told = place | capacity if version >= CAPACITY_API else place
        return model | vector | {"spec": {"serverless": told}, "vector_type": "dense"}
    return (
        model
        | capacity
        | {
            "schema": {"fields": {"_values": {"type": "dense_vector", **vector}}},
            "deployment": {"deployment_type": "managed", **place},
        }
    )
