"""Handling of one request of any protocol: faults, limits, its effect, and its entry in the log."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.pinecone_server import limits
from tests.pinecone_server.control import ControlPlane
from tests.pinecone_server.faults import Fault, Faults
from tests.pinecone_server.log import Entry, RequestLog
from tests.pinecone_server.pace import Pace
from tests.pinecone_server.routes import Call, carry_out
from tests.pinecone_server.settings import Settings
from tests.pinecone_server.shapes import INTERNAL, Answer, Refused, text_refusal
from tests.pinecone_server.spaces import space_name


@dataclass(frozen=True)
class Request:
    """One request: what it calls, its size in bytes, its key, and its body, decoded (or Refused) when it is called."""

    call: Call
    size: int
    key: str | None
    decode: Callable[[], dict[str, Any]]
    version: str = ""
    protocol: str = "rest"


class Exchange:
    """The way from a request to its answer."""

    def __init__(self, settings: Settings, faults: Faults, log: RequestLog, control: ControlPlane) -> None:
        self._settings, self._faults, self._log, self._control = settings, faults, log, control
        self._pace = Pace(settings, log)
        self.base = ""
        """The control plane's address."""

    def answer(self, request: Request) -> Answer | None:
        """The answer to send; None is a broken connection."""
        call = request.call
        if call.op == "accounts":
            return Answer(self._log.accounts())
        started = self._log.begin(call.op)
        answer: Answer | None = None
        effect = Answer()
        try:
            fault = self._admit(request)
            if fault is None or fault.after:
                effect = self._effect(request)
            answer = _faulty(fault, effect)
        except Refused as refused:
            answer = refused.answer
        finally:
            status = 0 if answer is None or answer.cut else answer.status
            facts = (effect.namespace, effect.records, request.size, status, time.monotonic() - started)
            entry = Entry(call.op, call.index, *facts, effect.write_units, request.protocol)
            self._log.end(entry, effect.upserted)
        return answer

    def _admit(self, request: Request) -> Fault | None:
        """The fault that decides the answer, after any wait; Refused where the key is not the right one."""
        expected = self._settings.api_key
        if not request.key:
            raise text_refusal("Unauthorized: no API key was given", 401)
        if expected is not None and request.key != expected:
            raise text_refusal("Invalid API Key", 401)
        fault = self._faults.take(request.call.op, planned=request.call.is_data)
        if fault is not None and fault.gate is not None:
            fault.gate.arrived.set()
            fault.gate.opened.wait()
            fault = None
        elif fault is not None and fault.action == "slow":
            time.sleep(fault.seconds)
            fault = None
        if self._settings.latency and request.call.is_data and (fault is None or fault.after):
            time.sleep(self._settings.latency)
        return fault

    def _effect(self, request: Request) -> Answer:
        try:
            limits.check_body(request.size, self._settings, request.protocol)
            body = request.decode()
            if request.call.is_data:
                self._check_pace(request.call, body)
            return carry_out(request.call, self._control, body, request.version, self.base)
        except Refused as refused:
            return refused.answer
        except Exception:  # noqa: BLE001 - a bug here must reach the client and stderr
            traceback.print_exc()
            return Answer({"code": INTERNAL, "message": "a bug in the local Pinecone; see its stderr"}, 500)

    def _check_pace(self, call: Call, body: dict[str, Any]) -> None:
        named = call.parameter("namespace") or body.get("namespace")
        self._pace.check(call.op, call.index, space_name(named))


def _faulty(fault: Fault | None, effect: Answer) -> Answer | None:
    if fault is None:
        return effect
    if fault.action == "cut":
        return replace(effect, cut=True)
    return fault.answer if fault.action == "answer" else None
