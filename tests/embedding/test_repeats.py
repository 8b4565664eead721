"""Same bytes within a part: embedded once, whichever batch they are in; the memory of it is bounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinery.embedding.columns import Batch
from pinery.embedding.repeats import Repeats

DIMENSION = 4


def vector(sha256: str) -> npt.NDArray[np.float32]:
    return np.full(DIMENSION, float(sha256), np.float32)


class Checkpoint:
    """Has the vectors of some bytes."""

    def __init__(self, held: set[str]) -> None:
        self.held = held

    def find(self, sha256: Sequence[str]) -> Mapping[str, npt.NDArray[np.float32]]:
        assert len(set(sha256)) == len(sha256), "each is asked for once"
        return {one: vector(one) for one in sha256 if one in self.held}


def fetched(first: int, hashes: Sequence[str | None]) -> Batch:
    batch = Batch(first, [None if one is None else one.encode() for one in hashes], list(hashes))
    batch.moved = {row for row, one in enumerate(hashes) if one is None}
    return batch


def embed(batch: Batch, made: list[str]) -> None:
    """Do what the embedder does; bytes `7` are broken."""
    batch.vectors = np.zeros((batch.items, DIMENSION), np.float32)
    for row, data in enumerate(batch.data):
        if data == b"7":
            batch.errors[row] = "broken"
        elif data is not None:
            made.append(data.decode())
            batch.vectors[row] = vector(made[-1])
    batch.data = []


@given(
    st.lists(st.sampled_from([*"0123456789", None]), min_size=1, max_size=40),
    st.sets(st.sampled_from("0123456789"), max_size=3),
    st.integers(1, 7),
    st.integers(1, 4),
)
def test_each_row_gets_the_vector_of_its_bytes_and_each_bytes_are_embedded_once(
    hashes: list[str | None], held: set[str], size: int, ahead: int
) -> None:
    repeats, made = Repeats(Checkpoint(held), DIMENSION), list[str]()
    waiting = [fetched(at, hashes[at : at + size]) for at in range(0, len(hashes), size)]
    begun: list[Batch] = []
    for batch in [*waiting, *[None] * ahead]:
        if batch is not None:
            repeats.find(batch)
            embed(batch, made)
            begun.append(batch)
        if begun and (batch is None or len(begun) > ahead):
            _check(begun.pop(0), repeats, held)
    assert not begun
    assert sorted(made) == sorted({one for one in hashes if one} - held - {"7"})


def _check(batch: Batch, repeats: Repeats, held: set[str]) -> None:
    repeats.settle(batch)
    for row, sha256 in enumerate(batch.sha256):
        if sha256 is None:
            assert row in batch.moved
        elif sha256 == "7" and "7" not in held:
            assert batch.errors[row] == "broken"
        else:
            assert row not in batch.errors
            assert batch.vectors is not None
            assert batch.vectors[row].tolist() == vector(sha256).tolist()
    assert batch.embedded + len(batch.reused) + len(batch.errors) + len(batch.moved) == batch.items


def test_what_is_remembered_is_bounded_and_nobody_waits_for_what_was_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pinery.embedding.repeats.KEPT_BYTES", 3 * vector("0").nbytes)
    repeats, made = Repeats(Checkpoint(set()), DIMENSION), list[str]()
    first, late = fetched(0, ["0"]), fetched(1, ["0"])
    for batch in (first, late):
        repeats.find(batch)
        embed(batch, made)
    repeats.settle(first)
    for number in range(1, 9):
        other = fetched(number + 1, [str(number)])
        repeats.find(other)
        embed(other, made)
        repeats.settle(other)
    repeats.settle(late)
    assert late.vectors is not None
    assert late.vectors.tolist() == [[0.0] * DIMENSION]
    again, recent = fetched(10, ["1"]), fetched(11, ["8"])
    repeats.find(again)
    assert again.data == [b"1"], "forgotten: embedded anew"
    repeats.find(recent)
    assert recent.data == [None]
