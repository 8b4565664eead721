"""Same bytes within a part: embedded once, whichever outcome comes first; the memory of it is bounded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinery.models.preparing import Outcome
from pinery.steps.seen import AWAITED, Seen


def vector(value: float) -> npt.NDArray[np.float32]:
    return np.full(4, value, np.float32)


def outcome(seen: Seen, position: int, sha256: str, error: str | None = None) -> Outcome:
    """What the runner makes of a position: asks, and embeds if nobody has the vector."""
    found = seen.values(sha256)
    if found is not None:
        return Outcome(position, sha256, found, reused=True)
    made = None if error else vector(float(sha256))
    return Outcome(position, sha256, made, error)


@given(st.data())
def test_every_position_gets_the_vector_of_its_bytes_and_each_bytes_are_embedded_once(data: st.DataObject) -> None:
    shas = data.draw(st.lists(st.sampled_from("0123456789"), min_size=1, max_size=40))
    asked = data.draw(st.permutations(range(len(shas))))  # threads ask in any order
    known = set(data.draw(st.lists(st.sampled_from("0123456789"), max_size=3)))
    seen = Seen(lambda sha256: vector(float(sha256)) if sha256 in known else None)
    begun: dict[int, Outcome] = {}
    told: list[Outcome] = []
    turn = 0
    size = data.draw(st.integers(1, 7))
    for position in asked:
        begun[position] = outcome(seen, position, shas[position], "broken" if shas[position] == "7" else None)
        while turn < len(shas) and all(at in begun for at in range(turn, min(turn + size, len(shas)))):
            batch = [begun[at] for at in range(turn, min(turn + size, len(shas)))]
            told += seen.settle(batch)
            turn += len(batch)
    assert sorted(one.position for one in told) == list(range(len(shas)))
    for one in told:
        assert one.values is not AWAITED
        expected = None if shas[one.position] == "7" and "7" not in known else float(shas[one.position])
        assert (one.values is None) == (expected is None)
        assert expected is None or (one.values is not None and one.values.tolist() == [expected] * 4)
        assert (one.error is None) == (expected is not None)
    fresh = [shas[one.position] for one in told if not one.reused and one.values is not None]
    assert sorted(fresh) == sorted(set(shas) - known - {"7"})


def test_what_is_remembered_is_bounded_and_nothing_waits_for_what_was_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pinery.steps.seen.KEPT_BYTES", 3 * vector(0).nbytes)
    seen = Seen(lambda _: None)
    first = outcome(seen, 0, "0")
    waiting = outcome(seen, 1, "0")
    assert waiting.values is AWAITED
    assert [one.position for one in seen.settle([first])] == [0]
    for number in range(1, 9):
        seen.settle([outcome(seen, number + 1, str(number))])
    [late] = seen.settle([waiting])
    assert late.values is not None
    assert late.values.tolist() == [0.0] * 4
    assert seen.values("1") is None, "forgotten: embedded anew"
    assert seen.values("8") is not None
