"""Encoded sizes: no bound is below what is really sent, and none is far above it."""

import json

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pinery.indexes.encoded_size import ENVELOPE_BYTES, json_sizes, text_bytes, values_bytes
from pinery.indexes.protocol import ROWS_SCHEMA
from pinery.planning.packing import pack
from tests.indexes.rows import batch

floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def pack_json(rows: pa.RecordBatch, max_rows: int, max_bytes: int) -> list[tuple[int, int]]:
    """The slices of rows whose requests of JSON, envelope included, have at most `max_bytes`."""
    return pack(json_sizes(rows), max_rows, max_bytes - ENVELOPE_BYTES)


def numbered(matrix: NDArray[np.float32], metadata: list[str] | None = None) -> pa.RecordBatch:
    return batch([f"row-{row}" for row in range(len(matrix))], matrix, metadata)


def request(rows: pa.RecordBatch, namespace: str = "") -> bytes:
    """The body that is sent for rows, metadata as it stands."""
    vectors = [
        {"id": id, "values": np.asarray(values, np.float32), "metadata": orjson.Fragment(metadata)}
        for id, values, metadata in zip(*(rows.column(name).to_pylist() for name in rows.schema.names), strict=True)
    ]
    return orjson.dumps({"vectors": vectors, "namespace": namespace}, option=orjson.OPT_SERIALIZE_NUMPY)


def encoded_values(matrix: NDArray[np.float32]) -> NDArray[np.int64]:
    """Bytes of each row's values, each with its comma."""
    rows = np.ascontiguousarray(matrix)
    return np.array([len(orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY)) - 1 for row in rows])


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=floats32))
def test_the_bound_on_values_is_never_below_the_encoding(matrix: NDArray[np.float32]) -> None:
    assert (values_bytes(matrix) >= encoded_values(matrix)).all()


@pytest.mark.parametrize(
    "edge",
    [0.0, -0.0, 1e-45, 1e-38, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 1e8, 1e9, 1e12, 1e13, 1e16, 3e38],
)
def test_the_bound_holds_on_both_sides_of_every_edge(edge: float) -> None:
    steps = np.arange(-2000, 2000, dtype=np.int64)
    bits = np.int64(np.float32(edge).view(np.int32)) + steps
    values = np.unique(np.clip(bits, 0, 0x7F7FFFFF).astype(np.int32)).view(np.float32)
    for column in (values[:, None], -values[:, None]):
        assert (values_bytes(column) >= encoded_values(column)).all()


@pytest.mark.parametrize("scale", [1e-7, 1e-4, 0.03, 1.0, 300.0])
def test_the_bound_on_values_is_close(scale: float) -> None:
    matrix = (np.random.default_rng(0).normal(size=(20, 1000)) * scale).astype(np.float32)
    assert (values_bytes(matrix) < encoded_values(matrix) * 1.2).all()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_the_bound_on_texts_is_never_below_the_encoding(text: str) -> None:
    assert text_bytes(pa.array([text], pa.string()))[0] >= len(orjson.dumps(text)) - 2


keys = st.text(st.characters(codec="ascii", exclude_characters="\x00"), min_size=1, max_size=12)
metadata_values = st.one_of(st.text(max_size=20), st.booleans(), st.integers(-(2**53), 2**53), st.floats(-1e15, 1e15))


@given(st.data())
def test_no_packed_request_exceeds_its_limit(data: st.DataObject) -> None:
    matrix = data.draw(hnp.arrays(np.float32, (data.draw(st.integers(1, 12)), 8), elements=floats32))
    ids = data.draw(st.lists(keys, min_size=len(matrix), max_size=len(matrix)))
    metadata = [json.dumps(data.draw(st.dictionaries(keys, metadata_values, max_size=3))) for _ in ids]
    rows, limit = batch(ids, matrix, metadata), data.draw(st.integers(600, 3000))
    for start, stop in pack_json(rows, 1000, limit):
        assert stop - start == 1 or len(request(rows.slice(start, stop - start), "n" * 512)) <= limit


def test_about_160_rows_of_1000_values_fit_one_request() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 1000))
    matrix = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    rows = numbered(matrix, ['{"label":"frog","dataset":"CIFAR10"}'] * 200)
    (_, packed), *_ = pack_json(rows, 1000, 2_000_000)
    assert 140 <= packed <= 160
    assert 1_750_000 <= len(request(rows.slice(0, packed))) <= 2_000_000


def test_sliced_rows_are_packed_by_their_own_values() -> None:
    rows = numbered(np.concatenate([np.zeros((50, 10)), np.full((50, 10), 0.123456789)]).astype(np.float32))
    copied = pa.RecordBatch.from_pylist(rows.slice(50).to_pylist(), ROWS_SCHEMA)
    assert pack_json(rows.slice(50), 1000, 2000) == pack_json(copied, 1000, 2000)
    assert len(pack_json(rows.slice(0, 50), 1000, 2000)) < len(pack_json(rows.slice(50), 1000, 2000))


def test_no_rows_make_no_request() -> None:
    assert pack_json(numbered(np.zeros((0, 3), np.float32)), 10, 1000) == []
