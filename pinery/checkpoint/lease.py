"""One writer: the lease of a (corpus, model key), renewed by its holder and checked before each write."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from pinery.checkpoint.store import ConflictError, Store
from pinery.errors import LeaseHeldError, LeaseLostError, PineryError

RENEWALS_PER_TTL = 4
POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease. `start` is the process' start as the kernel counts it; `expires` is Unix time in seconds."""

    run: str
    host: str
    boot: str
    pid: int
    start: str
    epoch: int
    expires: float
    released: bool = False


class Lease:
    """A held lease; a context manager that renews it in the background and lets go at the end.

    `name_run` is asked for the run's name when the lease is free. Raises LeaseHeldError on entry while another run
    holds it (unless told to wait).
    """

    def __init__(
        self,
        store: Store,
        name: str,
        name_run: Callable[[], str],
        ttl: float,
        wait: bool,
        waiting: Callable[[Holder], None],
    ) -> None:
        self._store, self._name, self._name_run, self._ttl = store, name, name_run, ttl
        self._wait, self._waiting = wait, waiting
        self.run = ""
        self._tag = ""
        self._fresh_until = 0.0
        self._lost = ""
        self._ended = threading.Event()
        self._renewer = threading.Thread(target=self._renew_until_ended, name="lease", daemon=True)
        self.epoch = 0

    def check(self) -> None:
        """Raise LeaseLostError unless this run still holds the lease, by the monotonic clock."""
        if self._lost:
            raise LeaseLostError(f"{self._lost}; nothing more is written, run the same command again to go on")
        if time.monotonic() >= self._fresh_until:
            raise LeaseLostError(
                f"the lease of run {self.run} ran out after {self._ttl:g} s without renewal;"
                " nothing more is written, run the same command again to go on"
            )

    def __enter__(self) -> Lease:
        while not self._acquire():
            if self._ended.wait(POLL_SECONDS):
                raise LeaseLostError("stopped while waiting for the lease")
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let go; every later check fails."""
        self._ended.set()
        if self._renewer.is_alive():
            self._renewer.join()
        if not self._lost:
            self._lost = f"run {self.run} has let go of its lease"
            # Somebody took it over, or it expires by itself; and why a run failed must not be hidden.
            with contextlib.suppress(PineryError):
                self._store.replace(self._name, self._record(released=True), self._tag)

    def _acquire(self) -> bool:
        found = self._store.read(self._name)
        holder = Holder(**json.loads(found[0])) if found else None
        if holder is not None and _is_alive(holder):
            if not self._wait:
                raise LeaseHeldError(
                    f"run {holder.run} on {holder.host} (pid {holder.pid}) is writing this corpus;"
                    " wait for it with --wait, or let it end"
                )
            self._waiting(holder)
            return False
        self.epoch = holder.epoch + 1 if holder else 1
        self.run = self._name_run()
        return self._write(found[1] if found else None)

    def _write(self, tag: str | None) -> bool:
        began = time.monotonic()
        try:
            self._tag = self._store.replace(self._name, self._record(released=False), tag)
        except ConflictError:
            return False
        self._fresh_until = began + self._ttl
        return True

    def _record(self, released: bool) -> bytes:
        me: dict[str, Any] = asdict(
            Holder(
                run=self.run,
                host=socket.gethostname(),
                boot=_boot_id(),
                pid=os.getpid(),
                start=process_start(os.getpid()) or "",
                epoch=self.epoch,
                expires=time.time() + self._ttl,
                released=released,
            )
        )
        return json.dumps(me).encode()

    def _renew_until_ended(self) -> None:
        while not self._ended.wait(self._ttl / RENEWALS_PER_TTL):
            try:
                if not self._write(self._tag):
                    self._lost = f"another run took over the lease of run {self.run}"
                    return
            except Exception:  # noqa: BLE001  # a storage fault: the next turn tries again, and check() fails if none succeeds in time
                continue


def read_holder(store: Store, name: str) -> Holder | None:
    """The live holder of a lease, or None."""
    found = store.read(name)
    holder = Holder(**json.loads(found[0])) if found else None
    return holder if holder is not None and _is_alive(holder) else None


def _is_alive(holder: Holder) -> bool:
    if holder.released or holder.expires < time.time():
        return False
    here = holder.host == socket.gethostname() and holder.boot == _boot_id()
    return not here or process_start(holder.pid) == holder.start


def process_start(pid: int) -> str | None:
    """When the process started, in kernel clock ticks; None where no such process runs."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _start_without_proc(pid)
    return None if fields[0] in "ZX" else fields[19]


def _start_without_proc(pid: int) -> str | None:
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
