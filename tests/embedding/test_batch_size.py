"""The batch size: it settles, on a size that pays, within its limits; want of memory always wins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pinery.embedding.batch_size import SAMPLES, WARM_UPS, BatchSize

sizes = st.integers(1, 512)
seconds = st.floats(1e-6, 10.0)


def measured(batch: BatchSize, seconds_for: dict[int, float], batches: int = 100) -> list[int]:
    """The sizes tried with a model that takes so long for each; its first call of a size takes longer."""
    tried: list[int] = []
    for _ in range(batches):
        first = batch.size not in tried
        tried.append(batch.size)
        batch.took(batch.size, seconds_for[batch.size] + (60.0 if first else 0.0))
    return tried


def test_it_grows_while_images_get_cheaper_and_then_stays() -> None:
    # Per image: 3, 2, 1.5 and 1.6 seconds.
    took = {8: 24.0, 16: 32.0, 32: 48.0, 64: 102.4}
    batch = BatchSize(8, 128)
    tried = measured(batch, took)
    assert list(dict.fromkeys(tried)) == [8, 16, 32, 64]
    assert (batch.size, batch.settled) == (32, True)
    assert tried.count(64) == WARM_UPS + SAMPLES


def test_an_ever_faster_model_ends_at_the_limit() -> None:
    batch = BatchSize(8, 100)
    assert list(dict.fromkeys(measured(batch, dict.fromkeys((8, 16, 32, 64, 100), 1.0)))) == [8, 16, 32, 64, 100]
    assert (batch.size, batch.settled) == (100, True)


def test_a_gain_too_small_to_notice_is_none() -> None:
    batch = BatchSize(8, 128)
    measured(batch, {8: 8.0, 16: 16.0 * 0.97})
    assert (batch.size, batch.settled) == (8, True)


def test_one_disturbed_timing_decides_nothing() -> None:
    batch = BatchSize(8, 16)
    for took in (8.0, 8.0, 500.0, 8.0):
        batch.took(8, took)
    assert batch.size == 16
    for took in (9.0, 500.0, 9.0, 400.0):
        batch.took(16, took)
    assert (batch.size, batch.settled) == (16, True)


def test_short_batches_tell_nothing() -> None:
    batch = BatchSize(8, 128)
    for _ in range(50):
        batch.took(7, 1e-6)
    assert (batch.size, batch.settled) == (8, False)


def test_a_fixed_size_stays_until_memory_is_short() -> None:
    batch = BatchSize(200, 200, fixed=True)
    for _ in range(20):
        batch.took(200, 1.0)
    assert batch.size == 200
    assert batch.out_of_memory(200) == batch.size == 100


@given(
    sizes, sizes, st.lists(st.tuples(st.sampled_from(["took", "short", "cap", "memory"]), sizes, seconds), max_size=80)
)
def test_whatever_happens_it_stays_within_limits_and_never_grows_again_once_settled(
    start: int, limit: int, events: list[tuple[str, int, float]]
) -> None:
    batch, bound = BatchSize(start, limit), limit
    for kind, number, took in events:
        before, settled = batch.size, batch.settled
        if kind == "took":
            batch.took(batch.size, took)
        elif kind == "short":
            batch.took(number, took)
        elif kind == "cap":
            batch.cap(number)
            bound = min(bound, number)
        else:
            failed = min(number, batch.size)
            assert batch.out_of_memory(failed) <= max(1, failed // 2)
            assert batch.settled
        assert 1 <= batch.size <= bound
        assert not settled or (batch.settled and batch.size <= before)


@given(sizes, st.integers(0, 6), st.lists(seconds, min_size=8, max_size=8))
def test_it_settles_after_a_bounded_number_of_batches(start: int, doublings: int, took: list[float]) -> None:
    batch = BatchSize(start, start * 2**doublings)
    for _ in range((WARM_UPS + SAMPLES) * (doublings + 1)):
        batch.took(batch.size, took[batch.size.bit_length() % 8])
    assert batch.settled
