"""How a run shows its progress: bars on a terminal, log lines under a Prefect worker, or nothing."""

import contextlib
import sys
import threading
from collections.abc import Iterator

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from pinery.steps import run as steps

_chosen: list[steps.Progress] = []


class LoggedProgress:
    """Writes stages and notes to the flow run's log."""

    def start(self, stage: str, total: int | None) -> None:
        """See Progress."""
        self.note(f"{stage}: {total} items" if total is not None else stage)

    def advance(self, stage: str, items: int) -> None:
        """See Progress."""

    def note(self, text: str) -> None:
        """See Progress."""
        with contextlib.suppress(MissingContextError):
            get_run_logger().info(text)


class TerminalProgress:
    """Bars on stderr where that is a terminal; notes in any case."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.bars = Bars(*columns, console=self._console, transient=True, disable=not sys.stderr.isatty())
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def start(self, stage: str, total: int | None) -> None:
        """See Progress."""
        with self._lock:
            if stage not in self._tasks and total != 0:
                self._tasks[stage] = self.bars.add_task(stage, total=total)

    def advance(self, stage: str, items: int) -> None:
        """See Progress."""
        if stage in self._tasks:
            self.bars.advance(self._tasks[stage], items)

    def note(self, text: str) -> None:
        """See Progress."""
        self._console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def on_terminal() -> Iterator[None]:
    """Show the progress of the runs started inside on this process' terminal."""
    shown = TerminalProgress()
    _chosen.append(shown)
    try:
        with shown.bars:
            yield
    finally:
        _chosen.pop()


def current_progress() -> steps.Progress:
    """Who is told of the progress of a run that starts now."""
    return _chosen[-1] if _chosen else LoggedProgress()
