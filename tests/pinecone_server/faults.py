"""Faults to inject: queued answers, resets and stops per operation; a seeded plan over all; outages."""

import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from tests.pinecone_server.shapes import INTERNAL, RESOURCE_EXHAUSTED, UNAVAILABLE, Answer

PlannedKind = Literal["429-after", "429", "500", "503", "reset-before", "reset-after", "slow", "cut"]
"""The faults that a plan draws: a 429 with or without Retry-After, a 500 or a 503 without effect; a connection reset
before or after the effect; a late answer; an answer whose body breaks off, after the effect."""

KINDS: tuple[PlannedKind, ...] = get_args(PlannedKind)


@dataclass
class Gate:
    """A request that was stopped before its effect: wait for `arrived`, then call `release`."""

    arrived: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Let the stopped request, and all later ones at this gate, go on."""
        self.opened.set()


@dataclass
class Fault:
    """One fault. `remaining` None means that it stays until `clear`; `seconds` is how late a slow answer comes."""

    op: str
    action: Literal["answer", "reset", "gate", "slow", "cut"]
    after: bool
    remaining: int | None = 1
    answer: Answer | None = None
    gate: Gate | None = None
    seconds: float = 0.0


@dataclass
class _Plan:
    """The share of the data-plane requests that fail, and the ways in which they fail."""

    random: random.Random
    share: float
    kinds: Sequence[PlannedKind]
    retry_after: int
    slow: float

    def draw(self) -> Fault | None:
        if self.random.random() >= self.share:
            return None
        kind = self.random.choice(self.kinds)
        if kind == "slow":
            return Fault("*", "slow", False, seconds=self.slow)
        if kind == "cut":
            return Fault("*", "cut", True)
        if kind.startswith("reset"):
            return Fault("*", "reset", kind == "reset-after")
        headers = {"Retry-After": str(self.retry_after)} if kind == "429-after" else {}
        return Fault("*", "answer", False, answer=fault_answer(int(kind[:3]), headers))


class Faults:
    """Faults of the server: during an outage everything fails; else each request takes the first queued fault of its
    operation, or, on the data plane, what the plan draws for it.

    Operations are named as in the request log (`upsert`, `query`, `create_index`, ...); `*` fits all.
    """

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._gates: list[Gate] = []
        self._plan: _Plan | None = None
        self._outage: tuple[float, bool] | None = None
        self._lock = threading.Lock()

    def push(
        self,
        op: str,
        status: int,
        *,
        times: int | None = 1,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | dict[str, Any] | None = None,
        after: bool = False,
    ) -> None:
        """Answer the next `times` requests with `status`; with `after` once their effect is done."""
        plain = isinstance(body, (bytes, str))
        answer = fault_answer(status, headers or {})
        if body is not None:
            answer.payload = body.encode() if isinstance(body, str) else body
        answer.content_type = "text/plain" if plain else "application/json"
        self._add(Fault(op, "answer", after, times, answer=answer))

    def reset_before(self, op: str, times: int | None = 1) -> None:
        """Break the connection of the next `times` requests; they have no effect."""
        self._add(Fault(op, "reset", False, times))

    def reset_after(self, op: str) -> None:
        """Carry out the next request, then break the connection instead of answering."""
        self._add(Fault(op, "reset", True, 1))

    def cut(self, op: str, times: int | None = 1) -> None:
        """Carry out the next `times` requests, and break the connection amid the answer's body."""
        self._add(Fault(op, "cut", True, times))

    def block(self, op: str, times: int | None = 1) -> Gate:
        """Stop the next `times` requests before their effect until the gate is released."""
        gate = Gate()
        self._gates.append(gate)
        self._add(Fault(op, "gate", False, times, gate=gate))
        return gate

    def plan(
        self, seed: int, share: float, kinds: Sequence[PlannedKind] = KINDS, *, retry_after: int = 1, slow: float = 1.0
    ) -> None:
        """Let each data-plane request fail with probability `share`, in one of `kinds`, until `clear`.

        The draws are those of `random.Random(seed)`, in the order in which requests come. `retry_after` and `slow`
        are seconds. Raises ValueError where `share` isn't within 0 and 1, or a kind is unknown.
        """
        unknown = set(kinds) - set(KINDS)
        if not 0 <= share <= 1 or not kinds or unknown:
            raise ValueError(
                f"a plan takes a share of 0 to 1 and kinds of {', '.join(KINDS)};"
                f" got {share} and {', '.join(sorted(unknown)) or 'no unknown kind'}"
            )
        with self._lock:
            self._plan = _Plan(random.Random(seed), share, tuple(kinds), retry_after, slow)

    def outage(self, seconds: float, reset: bool = False) -> None:
        """Refuse every request of both planes for `seconds` from now: with 503, or by breaking its connection."""
        with self._lock:
            self._outage = time.monotonic() + seconds, reset

    def begin_outage(self, reset: bool = False) -> None:
        """Begin an outage that lasts until `end_outage`."""
        self.outage(float("inf"), reset)

    def end_outage(self) -> None:
        """Answer again."""
        with self._lock:
            self._outage = None

    def clear(self) -> None:
        """Drop all faults that are still queued, the plan and the outage, and open all gates."""
        with self._lock:
            self._faults.clear()
            self._plan = self._outage = None
        self.open_gates()

    def open_gates(self) -> None:
        """Let all stopped requests go on."""
        with self._lock:
            gates, self._gates = self._gates, []
        for gate in gates:
            gate.release()

    @property
    def pending(self) -> int:
        """The number of faults that are still queued; one without a limit counts once."""
        with self._lock:
            return sum(1 if fault.remaining is None else fault.remaining for fault in self._faults)

    def take(self, op: str, planned: bool = True) -> Fault | None:
        """The fault for a request of `op`, used up by one; None where there is none.

        With `planned` the plan is drawn from where no fault is queued.
        """
        with self._lock:
            if self._outage is not None and time.monotonic() < self._outage[0]:
                return Fault("*", "reset" if self._outage[1] else "answer", False, answer=fault_answer(503, {}))
            for fault in self._faults:
                if fault.op in (op, "*"):
                    if fault.remaining is not None:
                        fault.remaining -= 1
                        if fault.remaining <= 0:
                            self._faults.remove(fault)
                    return fault
            return self._plan.draw() if self._plan is not None and planned else None

    def _add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)


def fault_answer(status: int, headers: Mapping[str, str]) -> Answer:
    """The answer of an injected fault."""
    code = {429: RESOURCE_EXHAUSTED, 500: INTERNAL}.get(status, UNAVAILABLE)
    return Answer({"code": code, "message": f"injected fault: {status}", "details": []}, status, dict(headers))
