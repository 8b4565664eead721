"""Guesses from some keys whether folders or names of files are labels, and how a config says so."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from pinery.sources.metadata import from_parent, from_pattern

NUMBERED = r"(?:^|/)(?P<label>[^/]*[^\W\d_])[-_ ]\d+\.[^./]+$"
"""`cat-1.jpg`, `red_car_012.jpg`: what stands before the last number."""
FIRST_WORD = r"(?:^|/)(?P<label>[^/_-]*[^\W\d_])[-_][^/]+$"
"""`cat-a9f3.jpg`: what stands before the first dash."""
MOST = 0.9
"""The share of the images that must have a label, or there are none."""
EACH = 3
"""The images that a label has at least, on average: else it is a name."""

CAMERAS = {
    "img", "dsc", "dscn", "dscf", "dcim", "pxl", "pic", "image", "photo", "picture", "frame", "screenshot", "scan", "p",
    "mvimg", "whatsapp",
}  # fmt: skip
"""Words that cameras and programs begin names with, in small letters."""
PLACES = {
    "train", "training", "val", "valid", "validation", "test", "testing", "images", "image", "img", "photos", "photo",
    "pictures", "data", "dataset", "raw", "original", "originals", "thumbs", "thumbnails", "full", "upload", "uploads",
    "media", "files", "jpg", "jpeg", "png",
}  # fmt: skip
"""Names of folders that hold images of any kind."""


@dataclass(frozen=True, slots=True)
class Guess:
    """A value for `source.metadata`, and the labels that it finds, the commonest first."""

    metadata: str
    labels: tuple[str, ...]


def guess_labels(keys: Sequence[str]) -> Guess | None:
    """Return how labels can be told from these keys; None where they show none."""
    ways: tuple[tuple[str, Callable[[str], dict[str, str]], set[str]], ...] = (
        ("parent", from_parent, PLACES),
        *((regex, partial(from_pattern, pattern=re.compile(regex)), CAMERAS) for regex in (NUMBERED, FIRST_WORD)),
    )
    for metadata, describe, others in ways:
        found = Counter(_labels((describe(key) for key in keys), others))
        if len(found) > 1 and found.total() >= MOST * len(keys) and found.total() >= EACH * len(found):
            return Guess(metadata, tuple(label for label, _ in found.most_common()))
    return None


def _labels(described: Iterable[dict[str, str]], others: set[str]) -> Iterable[str]:
    """Yield the labels that are words: no number, no piece of a hash, and none of the `others`."""
    for one in described:
        label = one.get("label", "")
        is_hash = re.fullmatch(r"[0-9a-f]{1,2}|[0-9a-f]*\d[0-9a-f]*", label)
        if re.search(r"[^\W\d_]", label) and not is_hash and label.lower() not in others:
            yield label
