"""The terms of ARCHITECTURE.md as frozen types and table schemas, which all stages share."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

MODEL_KEY_LENGTH = 10


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


_TEXT, _VECTOR = pa.string(), pa.list_(pa.field("element", pa.float32()))

LISTING_SCHEMA = _schema(id=_TEXT, uri=_TEXT, version=_TEXT, bytes=pa.int64(), metadata=_TEXT, error=_TEXT, group=_TEXT)
"""A listing has a row for each item, with the fields of `Item`. Earlier versions wrote no `error`, or no `group`."""
PART_SCHEMA = _schema(id=_TEXT, version=_TEXT, sha256=_TEXT, values=_VECTOR, error=_TEXT)
"""A part has a row for each embedded version of an item: the hash of the image's bytes in hex, and its vector, of the
model's dimension, or the error for which it has none."""
LEDGER_SCHEMA = _schema(id=_TEXT, version=_TEXT, metadata_hash=_TEXT, deleted=pa.bool_())
"""A ledger has a row for each write that the index acknowledged: the version and the `metadata_hash` that were sent, or
nulls and `deleted`. The last row of an id counts."""
REJECTED_SCHEMA = _schema(id=_TEXT, version=_TEXT, metadata_hash=_TEXT, reason=_TEXT)
"""The rejected rows: what was sent, and the index's words for why it refused it."""


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a corpus, as listed.

    `version` changes when the image's bytes change. `bytes` is the encoded size, or -1 where the source doesn't say it.
    `metadata` is JSON text, already cleaned to what an index takes. `error` says why no index takes the metadata: such
    an item is embedded, and counts as rejected until its metadata is corrected. `group` is the part of the corpus that
    a limit counts by itself, such as a dataset; it is None where the corpus is one.
    """

    id: str
    uri: str
    version: str
    bytes: int
    metadata: str
    error: str | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Everything that decides a vector's value."""

    name: str
    """The canonical reference, e.g. `torchvision:squeezenet1_1@IMAGENET1K_V1`."""
    weights: str
    """SHA-256 of the weights file, or `none` for a model without weights."""
    revision: str
    """The Hub commit, or an empty string."""
    layer: str
    """The output that is the vector, e.g. `logits`."""
    preprocessing: str
    """A canonical text of the preprocessing and its parameters."""
    decoder: str
    """The way from bytes to pixels: `exact` is Pillow."""
    precision: str
    """`fp32`, `bf16` or `fp16`."""
    normalise: bool
    """True where vectors are scaled to length 1."""
    dimension: int
    probe: Mapping[str, float] = field(default_factory=dict, compare=False)
    """The figures by which `auto` was decided, such as `precision_cosine`; empty without a probe. Not in the key."""

    @property
    def key(self) -> str:
        """The model key: a short hash of the whole card except its probe."""
        decisive = {name: value for name, value in asdict(self).items() if name != "probe"}
        canonical = json.dumps(decisive, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:MODEL_KEY_LENGTH]

    @property
    def slug(self) -> str:
        """The name in lowercase letters, digits and single hyphens."""
        letters = "".join(c if c.isascii() and c.isalnum() else "-" for c in self.name.lower())
        return "-".join(word for word in letters.split("-") if word)


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of an index: the id of the state that owns it, its own incarnation and its model."""

    state: str
    incarnation: str
    model_key: str


@dataclass(frozen=True, slots=True)
class Match:
    """One match of a query; `score` is in the index's metric, such as the cosine, and higher is nearer."""

    id: str
    score: float
    metadata: Mapping[str, Any]
    uri: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """One row as an index returns it: `values` has the model's dimension, in float32 precision."""

    values: tuple[float, ...]
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Work:
    """The rows `start` to `stop` (exclusive) of the Parquet file `path`, all of one part, which are one task's work."""

    part: str
    path: Path
    """A file with the columns `id` and `version`, and `uri` where the rows are to be embedded."""
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.stop - self.start

    @property
    def metadata(self) -> Path:
        """The file with the metadata of the rows of `path`; see `metadata_file`."""
        return metadata_file(self.path)


@dataclass(frozen=True, slots=True)
class PartReport:
    """The result of embedding one part."""

    part: str
    rows: int
    embedded: int
    reused: int
    quarantined: int
    moved: int
    seconds: Mapping[str, float] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Quarantine reasons and how often each was met."""
    notes: tuple[str, ...] = ()
    """Notes for the user, such as that a batch didn't fit into memory."""


@dataclass(frozen=True, slots=True)
class UpsertReport:
    """The result of upserting rows to an index."""

    upserted: int
    rejected: int
    seconds: float


def metadata_file(rows: Path) -> Path:
    """Return the file with the metadata of a file of work: one row for each of its rows, in the same order."""
    return rows.with_suffix(".metadata.parquet")


def metadata_hash(metadata: str) -> str:
    """Return the hash that a ledger keeps of the metadata JSON, exactly as it was sent."""
    return hashlib.sha256(metadata.encode()).hexdigest()[:16]
