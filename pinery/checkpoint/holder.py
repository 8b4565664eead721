"""Who holds a lease: what the record says, which process wrote it, and what proves that this process is dead."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pinery.checkpoint.store import Store
from pinery.errors import TerminalError


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process runs: a pid means something only within one boot and one pid namespace of a host."""

    host: str
    boot: str
    pidns: str | None


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
    pidns: str | None = None
    """The holder's pid namespace; None in records of versions that didn't write it, empty where there is none."""
    silence: float = 0.0
    """Seconds without a change of the record after which nothing that the holder sent can still take effect; 0 in
    records of versions that didn't write it."""
    quiet_in: float = 0.0
    """The same, counted from when it let go, with a request of unknown outcome behind it; 0 if there is none."""

    @property
    def place(self) -> Place:
        """Where the holder's process runs."""
        return Place(self.host, self.boot, self.pidns)

    def is_same_as(self, other: Holder) -> bool:
        """Whether both records were written by one holder, be it at different times."""
        mine, theirs = ((one.run, one.epoch, one.place, one.pid, one.start, one.released) for one in (self, other))
        return mine == theirs

    def is_proven_dead(self) -> bool:
        """Whether the process can be seen from here to be gone."""
        return self.pidns is not None and self.place == here() and process_start(self.pid) not in (self.start, "?")

    def to_bytes(self) -> bytes:
        """The record as it is stored."""
        return json.dumps(asdict(self)).encode()


def parse_holder(name: str, data: bytes) -> Holder:
    """The holder that a stored record names. Raises TerminalError where it is no such record."""
    known = {one.name for one in fields(Holder)}
    try:
        return Holder(**{key: value for key, value in json.loads(data).items() if key in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise TerminalError(
            f"the lease {name} can't be read ({error}); delete that file if no run of this corpus is under way"
        ) from error


def read_holder(store: Store, name: str) -> Holder | None:
    """The holder of a lease that is not known to have ended, by this machine's clock; None if there is none."""
    found = store.read(name)
    holder = parse_holder(name, found[0]) if found else None
    if holder is None or holder.released or holder.is_proven_dead():
        return None
    return holder if holder.place == here() or holder.expires > time.time() else None


def here() -> Place:
    """Where this process runs."""
    return Place(socket.gethostname(), _read("/proc/sys/kernel/random/boot_id"), _pid_namespace())


def process_start(pid: int) -> str | None:
    """When the process started, in kernel clock ticks; None if there is no such process, `?` if it can't be seen.

    Where the system has no `/proc`, it is empty for every process that runs.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _start_without_proc(pid)
    return None if fields[0] in "ZX" else fields[19]


def _start_without_proc(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    # A `/proc` that hides the processes of other users shows nothing of one that runs.
    return "?" if Path("/proc/self/stat").exists() else ""


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _read(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text().strip()
    return ""
