"""Packing: slices cover all rows in order, and no estimate is below what is really sent."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from pinery.indexes.protocol import ROWS_SCHEMA
from pinery.planning.packing import ENVELOPE_BYTES, encoded_bytes, pack, pack_rows, text_bytes, values_bytes

sizes = st.lists(st.integers(0, 3000), min_size=0, max_size=60).map(lambda values: np.array(values, dtype=np.int64))
floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


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


def batch(
    matrix: NDArray[np.float32], ids: list[str] | None = None, metadata: list[str] | None = None
) -> pa.RecordBatch:
    count = len(matrix)
    columns: list[Any] = [ids or [f"row-{row}" for row in range(count)], list(matrix), metadata or ["{}"] * count]
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, ROWS_SCHEMA, strict=True)], schema=ROWS_SCHEMA
    )


@given(sizes, st.integers(0, 50), st.integers(1, 20), st.integers(1, 20_000))
def test_slices_cover_all_rows_in_order_and_within_the_limits(
    metadata: NDArray[np.int64], dimension: int, max_rows: int, max_bytes: int
) -> None:
    ids = np.full(len(metadata), 9, dtype=np.int64)
    slices = pack(ids, metadata, dimension, max_rows, max_bytes)
    edges = [0, *(stop for _, stop in slices)]
    assert slices == list(pairwise(edges))
    assert edges[-1] == len(metadata)
    estimate = encoded_bytes(ids, metadata, dimension)
    for start, stop in slices:
        assert 1 <= stop - start <= max_rows
        assert stop - start == 1 or estimate[start:stop].sum() + ENVELOPE_BYTES <= max_bytes
        full = stop == len(metadata) or stop - start == max_rows
        assert full or estimate[start : stop + 1].sum() + ENVELOPE_BYTES > max_bytes


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
    rows, limit = batch(matrix, ids, metadata), data.draw(st.integers(600, 3000))
    for start, stop in pack_rows(rows, 1000, limit):
        assert stop - start == 1 or len(request(rows.slice(start, stop - start), "n" * 512)) <= limit


def test_about_160_rows_of_1000_values_fit_one_request() -> None:
    vectors = np.random.default_rng(0).normal(size=(200, 1000))
    matrix = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    metadata = ['{"label":"frog","dataset":"CIFAR10"}'] * 200
    rows = batch(matrix, metadata=metadata)
    sizes = text_bytes(rows.column("id")), np.full(200, len(metadata[0]), dtype=np.int64)
    (_, typical), *_ = pack(*sizes, 1000, 1000, 2_000_000)
    assert typical == 160
    assert 1_950_000 <= len(request(rows.slice(0, typical))) <= 2_000_000
    (_, strict), *_ = pack_rows(rows, 1000, 2_000_000)
    assert 140 <= strict <= 160


def test_sliced_rows_are_packed_by_their_own_values() -> None:
    rows = batch(np.concatenate([np.zeros((50, 10)), np.full((50, 10), 0.123456789)]).astype(np.float32))
    copied = pa.RecordBatch.from_pylist(rows.slice(50).to_pylist(), ROWS_SCHEMA)
    assert pack_rows(rows.slice(50), 1000, 2000) == pack_rows(copied, 1000, 2000)
    assert len(pack_rows(rows.slice(0, 50), 1000, 2000)) < len(pack_rows(rows.slice(50), 1000, 2000))


def test_no_rows_make_no_request() -> None:
    assert pack_rows(batch(np.zeros((0, 3), np.float32)), 10, 100) == []


def test_limits_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        pack(np.zeros(1, np.int64), np.zeros(1, np.int64), 3, 0, 100)
