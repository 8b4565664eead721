"""Shows the progress of a run: as bars on a terminal, as a line now and then elsewhere, as a worker's log lines."""

import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from flows.progress_artifact import BarOnPage
from pinery.corpus.progress import Progress

LINE_SECONDS, JSON_SECONDS = 15.0, 0.3
"""The seconds between two lines of progress where stderr is no terminal, and where `PINERY_PROGRESS` is `json`."""

_chosen: list[Progress] = []


class Once:
    """Recognises a text that comes again right after itself; threads may share it."""

    def __init__(self) -> None:
        self._last = ""
        self._lock = threading.Lock()

    def differs(self, text: str) -> bool:
        """Return whether the text differs from the last one."""
        with self._lock:
            last, self._last = self._last, text
            return text != last


class LoggedProgress:
    """Writes stages to the flow run's log, with each quarter of those that have a total, and notes as warnings."""

    def __init__(self) -> None:
        self._notes = Once()
        self._done: dict[str, int] = {}
        self._totals: dict[str, int] = {}
        self._lock = threading.Lock()

    def start(self, stage: str, total: int | None) -> None:
        """See Progress."""
        with self._lock:
            self._done[stage], self._totals[stage] = 0, total or 0
        if total != 0:
            _log(logging.INFO, f"{stage}: {total:,} items" if total is not None else stage)

    def advance(self, stage: str, items: int) -> None:
        """See Progress."""
        with self._lock:
            before, total = self._done.get(stage, 0), self._totals.get(stage, 0)
            self._done[stage] = done = before + items
        if total and 4 * done // total > 4 * before // total and done < total:
            _log(logging.INFO, f"{stage}: {done:,} of {total:,} items")

    def note(self, text: str) -> None:
        """See Progress."""
        if self._notes.differs(text):
            _log(logging.WARNING, text)


def _log(level: int, text: str) -> None:
    with contextlib.suppress(MissingContextError):
        get_run_logger().log(level, "%s", text)


class TerminalProgress:
    """Shows bars on stderr, which is a terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Bars(*columns, console=self._console, transient=True)
        self._tasks: dict[str, TaskID] = {}
        self._notes = Once()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show the bars while the block runs."""
        with self._bars:
            yield

    def start(self, stage: str, total: int | None) -> None:
        """See Progress."""
        with self._lock:
            if stage not in self._tasks and total != 0:
                self._tasks[stage] = self._bars.add_task(stage, total=total)

    def advance(self, stage: str, items: int) -> None:
        """See Progress."""
        if stage in self._tasks:
            self._bars.advance(self._tasks[stage], items)

    def note(self, text: str) -> None:
        """See Progress."""
        if self._notes.differs(text):
            self._console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


class LineProgress:
    """Prints a line now and then to stderr, where that is no terminal, as in a log file or a CI job."""

    def __init__(self, seconds: float = LINE_SECONDS, out: TextIO | None = None) -> None:
        self._seconds, self._out = seconds, out or sys.stderr
        self._done: dict[str, int] = {}
        self._totals: dict[str, int | None] = {}
        self._moved: list[str] = []
        """The stages that began or moved on since the last line; where none did, those of that line."""
        self._printed = True
        self._lock = threading.Lock()
        self._ended = threading.Event()

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Print a line at regular intervals while the block runs."""
        thread = threading.Thread(target=self._print_lines, args=(time.monotonic(),), name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def start(self, stage: str, total: int | None) -> None:
        """See Progress."""
        with self._lock:
            self._totals[stage] = total
            self._done.setdefault(stage, 0)
            self._note_move(stage)

    def advance(self, stage: str, items: int) -> None:
        """See Progress."""
        with self._lock:
            self._done[stage] = self._done.get(stage, 0) + items
            self._note_move(stage)

    def note(self, text: str) -> None:
        """See Progress."""
        print(text, file=self._out, flush=True)  # a line of progress is what this is for

    def _note_move(self, stage: str) -> None:
        if self._printed:
            self._moved, self._printed = [], False
        if stage not in self._moved:
            self._moved.append(stage)

    def _print_lines(self, began: float) -> None:
        while not self._ended.wait(self._seconds):
            with self._lock:
                stages = ", ".join(self._describe(stage) for stage in self._moved)
                self._printed = True
            self.note(f"pinery: {stages or 'starting'} (after {time.monotonic() - began:,.0f} s)")

    def _describe(self, stage: str) -> str:
        done, total = self._done[stage], self._totals.get(stage)
        counted = f" {done:,} of {total:,}" if total else f" {done:,}" if done else ""
        return f"{stage}{counted}"


class JsonProgress(LineProgress):
    """Prints a line of JSON to stderr where something moved: for a program that started the run, and shows it."""

    def __init__(self, seconds: float = JSON_SECONDS, out: TextIO | None = None) -> None:
        super().__init__(seconds, out)

    def note(self, text: str) -> None:
        """See Progress."""
        self._print({"note": text})

    def _print_lines(self, began: float) -> None:  # noqa: ARG002  # what is shown here has no time
        ended = False
        while not ended:
            ended = self._ended.wait(self._seconds)
            with self._lock:
                moved = [] if self._printed else self._moved[-1:]
                told = [(stage, self._done[stage], self._totals.get(stage)) for stage in moved]
                self._printed = True
            for stage, done, total in told:
                self._print({"stage": stage, "done": done, "total": total})

    def _print(self, told: dict[str, str | int | None]) -> None:
        print(json.dumps(told), file=self._out, flush=True)  # a line of progress is what this is for


@contextlib.contextmanager
def on_terminal() -> Iterator[None]:
    """Show the progress of the runs started inside on this process' stderr."""
    progress: JsonProgress | TerminalProgress | LineProgress
    if os.environ.get("PINERY_PROGRESS") == "json":
        progress = JsonProgress()
    else:
        progress = TerminalProgress() if sys.stderr.isatty() else LineProgress()
    _chosen.append(progress)
    try:
        with progress.shown():
            yield
    finally:
        _chosen.pop()


def current_progress(corpus: str = "") -> Progress:
    """Return what shows the progress of a run of `corpus` that starts now: on the terminal, or in a worker's log.

    A worker's run has a bar on Prefect's pages too.
    """
    if _chosen:
        return _chosen[-1]
    return BarOnPage(LoggedProgress(), corpus) if corpus else LoggedProgress()
