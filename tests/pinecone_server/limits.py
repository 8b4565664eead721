"""The service's limits on requests and records, enforced strictly and with its words where they are known."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tests.pinecone_server.settings import Settings
from tests.pinecone_server.shapes import OUT_OF_RANGE, control_refusal, data_refusal, text_refusal

MAX_UPSERT_RECORDS = 1000
MAX_IDS = 1000
MAX_ID_LENGTH = 512
MAX_METADATA_BYTES = 40_960
MAX_TOP_K = 10_000
MAX_RESULT_BYTES = 4 * 1024 * 1024
MAX_PAGE = 100
MAX_METADATA_PAGE = 10_000
REGIONS = {
    "aws": {"us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1"},
    "gcp": {"us-central1", "europe-west4"},
    "azure": {"eastus2", "germanywestcentral"},
}
METRICS = ("cosine", "dotproduct", "euclidean")


@dataclass(frozen=True, slots=True)
class Record:
    """One vector with its metadata; numbers in the metadata are floats."""

    id: str
    values: NDArray[np.float32]
    metadata: dict[str, Any]


def check_body(size: int, settings: Settings, protocol: str = "rest") -> None:
    """Refuse a body of `size` bytes over the limit; gRPC has no 413."""
    if size <= settings.max_body:
        return
    if settings.oversize == "413" and protocol == "rest":
        raise text_refusal("Payload Too Large", 413)
    text = f"message length too large: found {size} bytes, the limit is: {settings.max_body} bytes"
    raise data_refusal(text, code=OUT_OF_RANGE)


def check_id(id: Any) -> str:
    """`id` if it is one that Pinecone takes: 1 to 512 ASCII characters without NUL."""
    if not isinstance(id, str) or not id:
        raise data_refusal("Vector ID must be a non-empty string")
    if not id.isascii():
        raise data_refusal(f"Vector ID must be ASCII, but got '{id}'")
    if "\x00" in id:
        raise data_refusal("Vector ID must not contain a NUL character")
    if len(id) > MAX_ID_LENGTH:
        raise data_refusal(f"Vector ID exceeds the limit of {MAX_ID_LENGTH} characters: got {len(id)}")
    return id


def check_ids(ids: Any) -> list[str]:
    """`ids` of one fetch or delete: 1 to 1,000."""
    if not isinstance(ids, list) or not ids:
        raise data_refusal("At least one ID must be provided")
    if len(ids) > MAX_IDS:
        raise data_refusal(f"The number of IDs exceeds the limit of {MAX_IDS}: got {len(ids)}")
    return [check_id(id) for id in ids]


def check_values(values: Any, dimension: int) -> NDArray[np.float32]:
    """A dense vector of `dimension` finite numbers."""
    if not isinstance(values, list):
        raise data_refusal("values must be a list of numbers")
    if not set(map(type, values)) <= {float, int}:
        raise data_refusal("not supported value type")
    if len(values) != dimension:
        raise data_refusal(f"Vector dimension {len(values)} does not match the dimension of the index {dimension}")
    with np.errstate(over="ignore"):
        vector = np.asarray(values, dtype=np.float32)
    if not np.isfinite(vector).all():
        raise data_refusal("values must be finite 32-bit floats")
    return vector


def check_metadata(metadata: Any, settings: Settings) -> dict[str, Any]:
    """Metadata as it is stored: flat, of the allowed types, numbers as floats."""
    if not isinstance(metadata, dict):
        raise data_refusal("metadata must be an object")
    stored: dict[str, Any] = {}
    for key, value in metadata.items():
        if key.startswith("$"):
            raise data_refusal(f"Metadata keys may not start with '$': '{key}'")
        if value is None and settings.null_metadata == "strip":
            continue
        strings = isinstance(value, list) and all(isinstance(one, str) for one in value)
        if strings or isinstance(value, (str, bool)):
            stored[key] = value
        elif isinstance(value, (int, float)):
            stored[key] = float(value)
        else:
            shown = orjson.dumps(value).decode()
            raise data_refusal(
                f"Metadata value must be a string, number, boolean or list of strings, got '{shown}' for field '{key}'"
            )
    size = len(orjson.dumps(metadata))
    if size > MAX_METADATA_BYTES:
        raise data_refusal(
            f"metadata size is {size} bytes, which exceeds the limit of {MAX_METADATA_BYTES} bytes per vector"
        )
    return stored


def check_record(raw: Any, dimension: int, metric: str, settings: Settings) -> Record:
    """The record in one element of an upsert's `vectors`."""
    if not isinstance(raw, dict):
        raise data_refusal("vectors must be objects")
    id = check_id(raw.get("id"))
    if raw.get("sparseValues") is not None:
        raise data_refusal("Index configuration does not support sparse values")
    values = check_values(raw.get("values") or [], dimension)
    if metric == "cosine" and not values.any():
        raise data_refusal(
            f"Dense vectors must contain at least one non-zero value. Vector ID {id} contains only zeros."
        )
    metadata = raw.get("metadata")
    return Record(id, values, check_metadata({} if metadata is None else metadata, settings))


def check_page(limit: Any, most: int, default: int) -> int:
    """A page size of 1 to `most`."""
    try:
        size = default if limit is None else int(limit)
    except (TypeError, ValueError):
        size = 0
    if not 1 <= size <= most:
        raise data_refusal(f"limit must be between 1 and {most}, got '{limit}'")
    return size


def check_index_name(name: Any) -> str:
    """An index name: 1 to 45 lower-case letters, digits and inner hyphens."""
    if not isinstance(name, str) or not 1 <= len(name) <= 45:
        raise control_refusal("Name must be between 1 and 45 characters long.", 400, "INVALID_ARGUMENT")
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name):
        text = "Name must consist of lower case alphanumeric characters or '-', and must start and end with an "
        raise control_refusal(text + "alphanumeric character.", 400, "INVALID_ARGUMENT")
    return name


def check_tags(tags: Any) -> dict[str, str]:
    """Tags of a create or configure request; an empty value is one that deletes."""
    if tags is None:
        return {}
    valid = isinstance(tags, dict) and all(
        re.fullmatch(r"[A-Za-z0-9_-]{1,80}", key) and isinstance(value, str) and re.fullmatch(r"[ -~]{0,120}", value)
        for key, value in tags.items()
    )
    if not valid:
        raise control_refusal(
            "Tags must have keys of 1 to 80 letters, digits, '_' or '-' and printable ASCII values of at most 120.",
            400,
            "INVALID_ARGUMENT",
        )
    return dict(tags)
