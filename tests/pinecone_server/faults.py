"""Faults to inject: answers, resets and stops, queued per operation."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.pinecone_server.shapes import Answer


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
    """One queued fault. `remaining` None means that it stays until `clear`."""

    op: str
    action: Literal["answer", "reset", "gate"]
    after: bool
    remaining: int | None
    answer: Answer | None = None
    gate: Gate | None = None


class FaultQueue:
    """Faults in the order they were pushed; each request takes the first that fits its operation.

    Operations are named as in the request log (`upsert`, `query`, `create_index`, ...); `*` fits all.
    """

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._gates: list[Gate] = []
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
        payload = body.encode() if isinstance(body, str) else body
        if payload is None:
            payload = {"code": 14, "message": f"injected fault: {status}", "details": []}
        answer = Answer(payload, status, dict(headers or {}), "text/plain" if plain else "application/json")
        self._add(Fault(op, "answer", after, times, answer=answer))

    def reset_before(self, op: str, times: int | None = 1) -> None:
        """Break the connection of the next `times` requests; they have no effect."""
        self._add(Fault(op, "reset", False, times))

    def reset_after(self, op: str, times: int | None = 1) -> None:
        """Carry out the next `times` requests, then break the connection instead of answering."""
        self._add(Fault(op, "reset", True, times))

    def block(self, op: str, times: int | None = 1) -> Gate:
        """Stop the next `times` requests before their effect until the gate is released."""
        gate = Gate()
        self._gates.append(gate)
        self._add(Fault(op, "gate", False, times, gate=gate))
        return gate

    def clear(self) -> None:
        """Drop all faults that are still queued, and open all gates."""
        with self._lock:
            self._faults.clear()
            gates, self._gates = self._gates, []
        for gate in gates:
            gate.release()

    @property
    def pending(self) -> int:
        """How many faults are still queued; one without a limit counts once."""
        with self._lock:
            return sum(1 if fault.remaining is None else fault.remaining for fault in self._faults)

    def take(self, op: str) -> Fault | None:
        """The fault for a request of `op`, used up by one; None where none is queued."""
        with self._lock:
            for fault in self._faults:
                if fault.op in (op, "*"):
                    if fault.remaining is not None:
                        fault.remaining -= 1
                        if fault.remaining <= 0:
                            self._faults.remove(fault)
                    return fault
        return None

    def _add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)
