"""The choice of files and objects that a source lists, and the counts of those that it leaves out."""

import functools
import importlib.util
from collections.abc import Mapping

from pathspec import GitIgnoreSpec

from pinery.source_kinds import HEIC_SUFFIXES, FilesSource

HIDDEN, EXCLUDED, UNREADABLE, TOO_LONG = "hidden", "excluded", "unreadable", "path too long"
NO_SUFFIX, OTHERS = "no suffix", "other suffixes"
MAX_KINDS, MAX_SUFFIX, SHOWN_KINDS = 100, 16, 8
_ADVICE: tuple[tuple[set[str], str], ...] = (
    (set(HEIC_SUFFIXES), "HEIC is decoded once `pip install pillow-heif` was run"),
    ({UNREADABLE}, "what was listed there before stays as it was; correct the modes, or name it in `source.exclude`"),
    ({"archived (GLACIER)", "archived (DEEP_ARCHIVE)"}, "restore archived objects to have them embedded"),
)


class LeftOut(dict[str, int]):
    """The number of files, objects and folders that a listing left out, by kind: `.txt`, `hidden`, `excluded`."""

    def count(self, kind: str, times: int = 1) -> None:
        """Count `times` more of a kind; kinds beyond the hundredth are one."""
        if kind not in self and len(self) >= MAX_KINDS:
            kind = OTHERS
        self[kind] = self.get(kind, 0) + times


class Selection:
    """Judges names by the settings of a source of files."""

    def __init__(self, settings: FilesSource) -> None:
        self._suffixes = tuple(suffix.lower() for suffix in settings.suffixes)
        self._undecoded = () if importlib.util.find_spec("pillow_heif") else HEIC_SUFFIXES
        self._patterns = settings.exclude

    def leaves_out(self, key: str) -> str | None:
        """Return the kind that the file `key` is left out as, or None if it is listed; its folders are not judged."""
        name = key[key.rfind("/") + 1 :]
        if name.startswith("."):
            return HIDDEN
        if self._patterns and self._excluded.match_file(key):
            return EXCLUDED
        if self._suffixes and not name.lower().endswith(self._suffixes):
            return suffix_of(name)
        return None

    def leaves_out_folder(self, key: str) -> str | None:
        """Return the kind that the folder `key`, with all below it, is left out as, or None."""
        if key[key.rfind("/") + 1 :].startswith("."):
            return HIDDEN
        return EXCLUDED if self._patterns and self._excluded.match_file(f"{key}/") else None

    def undecoded(self, key: str) -> str:
        """Return the suffix of a file that this installation can't decode, or an empty text."""
        return suffix_of(key) if self._undecoded and key.lower().endswith(self._undecoded) else ""

    @functools.cached_property
    def _excluded(self) -> GitIgnoreSpec:
        return GitIgnoreSpec.from_lines(self._patterns)


def left_out_line(left_out: Mapping[str, int]) -> str:
    """Return one line on what was left out, the commonest kind first, and what to do; empty if nothing was left out."""
    if not left_out:
        return ""
    most = sorted(left_out.items(), key=lambda one: (-one[1], one[0]))
    shown = [f"{kind} {count:,}" for kind, count in most[:SHOWN_KINDS]]
    if rest := sum(count for _, count in most[SHOWN_KINDS:]):
        shown.append(f"others {rest:,}")
    advice = [text for kinds, text in _ADVICE if kinds & left_out.keys()]
    suffixes = [kind for kind in left_out if kind.startswith(".") or kind in (NO_SUFFIX, OTHERS)]
    if any(kind not in HEIC_SUFFIXES for kind in suffixes):
        advice.append("`source.suffixes` takes others")
    files = "1 file" if sum(left_out.values()) == 1 else f"{sum(left_out.values()):,} files"
    return f"{files} left out: {', '.join(shown)}" + (f" ({'; '.join(advice)})" if advice else "")


def suffix_of(name: str) -> str:
    """Return the suffix of a file in small letters, or the kind that stands for those without a fitting one."""
    stem, dot, suffix = name[name.rfind("/") + 1 :].rpartition(".")
    if not stem or not dot or not suffix:
        return NO_SUFFIX
    return f".{suffix.lower()}" if len(suffix) < MAX_SUFFIX else OTHERS
