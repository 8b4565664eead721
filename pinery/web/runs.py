"""The runs that an editable server starts: one at a time for each corpus, as processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from pinery.checkpoint.holder import Holder, here, read_holder
from pinery.errors import LeaseHeldError, RefusedError

if TYPE_CHECKING:
    from pinery.web.site import ServerSettings, ShownCorpus

LOOK_SECONDS = 0.2
"""The time between two looks at what a run says."""
ENDING_SECONDS = 15.0
"""A run that is told to end may take so long before the server ends without it."""
OWN_VARIABLES = {"PINERY_TOKEN"}
"""Variables of the server that no run needs."""
NO_STAGE: dict[str, Any] = {"stage": "", "done": 0, "total": 0}
NOT_RUN: dict[str, Any] = {"run": None, **NO_STAGE, "message": "", "exit_code": None, "allow_deletes": False}


@dataclass(frozen=True, slots=True)
class Wish:
    """A run that somebody wishes for."""

    allow_deletes: bool = False

    def with_other(self, other: Wish | None) -> Wish:
        """Return the wish for one run that does for both."""
        return Wish(self.allow_deletes or (other is not None and other.allow_deletes))

    def options(self) -> list[str]:
        """Return the run's options."""
        return ["--allow-deletes"] if self.allow_deletes else []


class Runs:
    """The runs of one corpus. Safe to use from several threads.

    What a wish is for may have come too late for the run that is under way; so another run follows that one.
    """

    def __init__(self, shown: ShownCorpus, settings: ServerSettings) -> None:
        self._shown, self._settings = shown, settings
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._next: Wish | None = None
        self._closed = False
        self._told: dict[str, Any] = dict(NOT_RUN)

    def refuse_if_held(self) -> None:
        """Raise LeaseHeldError, which says who, while a run that isn't the server's own writes the corpus."""
        holder = self._holder()
        if holder is not None and not self._is_own(holder):
            raise LeaseHeldError(
                f"run {holder.run} on {holder.host} (pid {holder.pid}) is writing corpus {self._shown.name};"
                " nothing was changed, try again once it has ended"
            )

    def wish(self, wish: Wish) -> dict[str, Any]:
        """Start a run, or have one follow the one that is under way; return what `current` does.

        Raises LeaseHeldError, and RefusedError while the server ends.
        """
        with self._lock:
            if self._closed:
                raise RefusedError("the server is about to end, so it starts no run any more; use `pinery run`")
            if self._thread is None:
                self.refuse_if_held()
                self._start(wish)
            else:
                self._next = wish.with_other(self._next)
        return self.current()

    def current(self) -> dict[str, Any]:
        """Return the run that is under way, or how the last one ended."""
        with self._lock:
            running = self._thread is not None
            told = {"running": running, **self._told, "waiting": self._next is not None}
        if running and told["run"] is None:
            told["run"] = self._name()
        return told

    def _name(self) -> str | None:
        holder = self._holder()
        if holder is None or not self._is_own(holder):
            return None
        with self._lock:
            self._told["run"] = holder.run
        return holder.run

    def close(self) -> None:
        """Start no more runs, tell the one that is under way to end, and wait for that, but not for ever."""
        with self._lock:
            self._closed, self._next = True, None
            process, thread = self._process, self._thread
        if process is not None and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        if thread is not None:
            thread.join(ENDING_SECONDS)

    def _start(self, wish: Wish) -> None:
        self._told = NOT_RUN | {"stage": "starting"}
        self._thread = threading.Thread(target=self._follow, args=(wish,), name="pinery-run", daemon=True)
        self._thread.start()

    def _follow(self, wish: Wish) -> None:
        try:
            ended = self._run(wish)
        except OSError as error:
            ended = {"run": None, "message": f"no run could be started: {error}", "exit_code": 1}
        with self._lock:
            self._process, self._thread = None, None
            self._told = {**self._told, **NO_STAGE, **{name: one for name, one in ended.items() if one is not None}}
            if self._next is not None and not self._closed:
                following, self._next = self._next, None
                self._start(following)

    def _run(self, wish: Wish) -> dict[str, Any]:
        """Have a run done, and return how it ended."""
        settings = self._settings
        command = [*settings.run_command, self._shown.path, *settings.run_options, *wish.options(), "--json"]
        environment = {name: value for name, value in os.environ.items() if name not in OWN_VARIABLES}
        # Files and no pipes: a run goes on to its end where the server is killed.
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            with self._lock:
                if self._closed:
                    return {"message": "the server ended before the run began", "exit_code": None}
                self._process = process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=err,
                    env=environment | {"PINERY_PROGRESS": "json"},
                    start_new_session=True,
                )
            lines = Lines(err.fileno())
            while True:
                try:
                    process.wait(LOOK_SECONDS)
                except subprocess.TimeoutExpired:
                    self._tell(lines)
                    continue
                break
            self._tell(lines)
            return ending(process.returncode, _object(out), lines.last)

    def _tell(self, lines: Lines) -> None:
        for told in lines.new():
            with self._lock:
                if "note" in told:
                    self._told["message"] = str(told["note"])
                elif "stage" in told:
                    self._told |= {name: told.get(name) or empty for name, empty in NO_STAGE.items()}

    def _holder(self) -> Holder | None:
        corpus = self._shown.corpus()
        alias, card = corpus.alias()[0], corpus.known_card()
        keys = [one.card.key for one in (alias.live, *alias.kept) if one] + ([card.key] if card else [])
        found = (read_holder(corpus.store, corpus.paths.lease(key)) for key in dict.fromkeys(keys))
        return next((one for one in found if one is not None), None)

    def _is_own(self, holder: Holder) -> bool:
        process = self._process
        return process is not None and process.pid == holder.pid and holder.place == here()


class Lines:
    """The lines that a run writes to stderr: objects of its progress, and others, of which the last one is kept."""

    def __init__(self, file: int) -> None:
        self._file, self._read, self._rest = file, 0, b""
        self.last = ""

    def new(self) -> list[dict[str, Any]]:
        """Return the objects that were written since."""
        found = []
        while data := os.pread(self._file, 1 << 16, self._read):
            self._read += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                try:
                    one = json.loads(line)
                except ValueError:
                    one = None
                if isinstance(one, dict):
                    found.append(one)
                elif line.strip():
                    self.last = line.decode("utf-8", "replace").strip().removeprefix("pinery: ")
        return found


def ending(code: int, told: dict[str, Any], last: str) -> dict[str, Any]:
    """Return how a run ended, by its exit code, its result and its last line on stderr."""
    if "error" in told and "listed" not in told:
        message = str(told["error"])
    elif code == 0:
        message = summary(told)
    elif code < 0:
        message = f"the run was killed by signal {-code}; what it published stays, and another run goes on from there"
    else:
        message = last or f"the run ended with exit code {code}"
    allow = code == 3 and "--allow-deletes" in message
    return {"run": told.get("run"), "message": message, "exit_code": code, "allow_deletes": allow}


def summary(report: dict[str, Any]) -> str:
    """Return a sentence on a run that is done."""
    counts = [(report.get(name) or 0, name) for name in ("upserted", "deleted", "quarantined", "rejected", "moved")]
    did = ", ".join(f"{count:,} {name}" for count, name in counts if count) or "nothing to do"
    return f"{did}; {report.get('listed') or 0:,} images are listed"


def _object(file: IO[bytes]) -> dict[str, Any]:
    file.seek(0)
    try:
        found = json.loads(file.read(16 << 20))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
