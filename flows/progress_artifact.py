"""The bar of a run on Prefect's pages: how much of what the plan has is embedded and upserted."""

import threading
import time
from uuid import UUID

from pinery.corpus.progress import Progress
from tasks.publish_artifact import artifact_key, publish_artifact, update_progress

SECONDS = 10.0
"""The least seconds between two updates."""
COUNTED = ("embed", "upsert")
"""The stages whose totals are the plan's."""


class BarOnPage:
    """Passes all progress on, and keeps the bar of the flow run that makes it; the first failure ends the bar."""

    def __init__(self, shown: Progress, corpus: str, seconds: float = SECONDS) -> None:
        self._shown, self._corpus, self._seconds = shown, corpus, seconds
        self._key = artifact_key(corpus, "progress")
        self._totals: dict[str, int] = {}
        self._done = 0
        self._updated = time.monotonic()
        self._artifact: UUID | None = None
        self._given_up = False
        self._at_it = threading.Lock()

    def start(self, stage: str, total: int | None) -> None:
        """See Progress."""
        self._shown.start(stage, total)
        if stage in COUNTED and total:
            self._totals[stage] = self._totals.get(stage, 0) + total
            if self._artifact is None and not self._given_up:
                text = f"corpus {self._corpus}: embedded and upserted, of what the plan has"
                self._artifact = publish_artifact(self._key, "progress", 0.0, text)
                self._given_up = self._artifact is None
        elif stage not in COUNTED and self._done:
            self._update(percent=100.0)  # rows that have no vector are in no upsert

    def advance(self, stage: str, items: int) -> None:
        """See Progress."""
        self._shown.advance(stage, items)
        if stage in COUNTED:
            self._done += items  # a lost addition would only make the bar a little short
            self._update()

    def note(self, text: str) -> None:
        """See Progress."""
        self._shown.note(text)

    def _update(self, percent: float | None = None) -> None:
        """Show how much is done, if the last update is long ago; show `percent` at once."""
        if self._artifact is None or not self._at_it.acquire(blocking=False):
            return
        try:
            if percent is not None or time.monotonic() - self._updated >= self._seconds:
                done = 100.0 * self._done / (sum(self._totals.values()) or 1)
                shown = percent if percent is not None else max(0.0, min(100.0, done))
                if not update_progress(self._key, self._artifact, round(shown, 1)):
                    self._artifact, self._given_up = None, True
                self._updated = time.monotonic()
        finally:
            self._at_it.release()
