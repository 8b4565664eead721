"""The Protocol of listeners to the progress of a run, and a listener that does nothing."""

from typing import Protocol


class Progress(Protocol):
    """A person or a page that follows a run."""

    def start(self, stage: str, total: int | None) -> None:
        """Show that a stage began; `total` is its number of items, if that is known."""

    def advance(self, stage: str, items: int) -> None:
        """Show that `items` more are done in `stage`."""

    def note(self, text: str) -> None:
        """Show a wait or a warning, in one line."""


class Silent:
    """A listener that does nothing."""

    def start(self, stage: str, total: int | None) -> None:
        """See Progress."""

    def advance(self, stage: str, items: int) -> None:
        """See Progress."""

    def note(self, text: str) -> None:
        """See Progress."""
