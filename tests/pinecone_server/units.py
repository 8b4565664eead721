"""Write units as Pinecone bills them: one per KB (1000 bytes), at least 5 a request (docs: "Understanding cost")."""

import math
from collections.abc import Iterable, Mapping

import orjson

from tests.pinecone_server.limits import Record

LEAST = 5


def record_bytes(record: Record) -> int:
    """Return the bytes that a record counts for: its id, 4 bytes a value, and its metadata as JSON."""
    return len(record.id) + record.values.nbytes + (len(orjson.dumps(record.metadata)) if record.metadata else 0)


def upsert_units(records: Iterable[Record], stored: Mapping[str, Record]) -> int:
    """The units of an upsert: its own size, and that of each record that it overwrites."""
    written = {record.id: record for record in records}
    size = sum(map(record_bytes, written.values()))
    return _units(size + sum(record_bytes(stored[id]) for id in written if id in stored))


def change_units(records: Iterable[Record]) -> int:
    """The units of a delete or an update of these stored records."""
    return _units(sum(map(record_bytes, records)))


def _units(size: int) -> int:
    return max(LEAST, math.ceil(size / 1000))
