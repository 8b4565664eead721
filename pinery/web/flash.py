"""The sentence that a visitor is told on the next page, after a form was done."""

from __future__ import annotations

import secrets
from typing import TypedDict

from cachetools import TTLCache

MOST, SECONDS, LONGEST = 1000, 600.0, 2000


class Words(TypedDict):
    """A sentence, and whether it is of something that did not work."""

    text: str
    bad: bool


class Flash:
    """Keeps sentences for a while, each by a name that nobody guesses, so that no link puts words on the page."""

    def __init__(self) -> None:
        self._kept: TTLCache[str, Words] = TTLCache(MOST, SECONDS)

    def keep(self, text: str, bad: bool = False) -> str:
        """Keep a sentence and return its name."""
        name = secrets.token_urlsafe(12)
        self._kept[name] = Words(text=text[:LONGEST], bad=bad)
        return name

    def of(self, name: str | None) -> Words:
        """Return the sentence of a name, an empty one where there is none."""
        return self._kept.get(name or "") or Words(text="", bad=False)
