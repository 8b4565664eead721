"""The holder of a lease: what its record says, which process wrote it, and what proves that this process is dead."""

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
    """The place where a process runs: a pid means something only within one boot and one pid namespace of a host."""

    host: str
    boot: str
    pidns: str | None


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lease. `start` is when it began, in kernel ticks; `expires` is Unix time in seconds."""

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
    """After so many seconds without a change of the record, nothing that the holder sent can still take effect. It is 0
    in records of versions that didn't write it."""
    quiet_in: float = 0.0
    """The same, counted from when the holder let go while a request of unknown outcome was under way; else 0."""

    @property
    def place(self) -> Place:
        """The place where the holder's process runs."""
        return Place(self.host, self.boot, self.pidns)

    def is_same_as(self, other: Holder) -> bool:
        """Return whether both records were written by one holder, even if at different times."""
        mine, theirs = ((one.run, one.epoch, one.place, one.pid, one.start, one.released) for one in (self, other))
        return mine == theirs

    def is_proven_dead(self) -> bool:
        """Return whether the process can be seen from here to be gone."""
        return self.pidns is not None and self.place == here() and process_start(self.pid) not in (self.start, "?")

    def to_bytes(self) -> bytes:
        """Return the record as it is stored."""
        return json.dumps(asdict(self)).encode()


def parse_holder(name: str, data: bytes) -> Holder:
    """Return the holder that a stored record names. Raises TerminalError where it is no such record."""
    known = {one.name for one in fields(Holder)}
    try:
        return Holder(**{key: value for key, value in json.loads(data).items() if key in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise TerminalError(
            f"the lease {name} can't be read ({error}); delete that file if no run of this corpus is under way"
        ) from error


def read_holder(store: Store, name: str) -> Holder | None:
    """Return the holder of a lease that is not known to have ended, by this machine's clock; None if there is none."""
    found = store.read(name)
    holder = parse_holder(name, found[0]) if found else None
    if holder is None or holder.released or holder.is_proven_dead():
        return None
    return holder if holder.place == here() or holder.expires > time.time() else None


def here() -> Place:
    """Return the place where this process runs."""
    return Place(socket.gethostname(), _read("/proc/sys/kernel/random/boot_id"), _pid_namespace())


def process_start(pid: int) -> str | None:
    """Return when the process started, in kernel clock ticks.

    Returns None if there is no such process, and `?` if it can't be seen. Where the system has no `/proc`, it returns
    an empty text for every process that runs.
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
