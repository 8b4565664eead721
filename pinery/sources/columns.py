"""Columns of a sidecar: the type of their values is decided over the whole column before any of them is used."""

import json
import math
import re
from datetime import date, time
from decimal import Decimal
from typing import Any, Literal, Protocol

MAX_INTEGER = 2**53
"""An index stores numbers as float64, which holds every integer up to here."""

Kind = Literal["text", "number", "boolean", "list"]

NULLS = {"na", "n/a", "#n/a", "<na>", "nan", "-nan", "none", "null", "\\n"}
"""Programs write these for "no value", here in small letters. Among numbers and booleans they are no value; a text may
mean them."""
TRUE, FALSE = {"true", "True", "TRUE"}, {"false", "False", "FALSE"}
_YES, _NO = {"true", "yes", "t", "y", "1", "1.0"}, {"false", "no", "f", "n", "0", "0.0"}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,15})")
_DIGITS = re.compile(r"\s*[+-]?[0-9]+\s*")
_BETWEEN = re.compile(r"\s*[|;]\s*")


class Column(Protocol):
    """One column: it sees all of its values, and then says what each of them is."""

    def see(self, value: Any) -> None:
        """Take a value into account. Raises ValueError where it can't be what the settings want."""

    def read(self, value: Any) -> Any:
        """Return the value as metadata, or None for no value."""


class Guessed:
    """A column of texts. It holds numbers, or booleans, only if each of them prints as it is written.

    So `01234`, `+49`, `1.50` and a number with twenty digits stay text, and all of their column with them.
    """

    def __init__(self) -> None:
        self._text = self._numbers = self._fractions = self._booleans = False

    def see(self, value: str) -> None:
        """See Column."""
        if self._text or not value:
            return
        if value in TRUE or value in FALSE:
            self._booleans = True
        elif is_exact_integer(value):
            self._numbers = True
        elif value.lower() not in NULLS:
            self._see_fraction(value)
        self._text = self._text or (self._booleans and (self._numbers or self._fractions))

    def _see_fraction(self, value: str) -> None:
        try:
            number = float(value)
        except ValueError:
            self._text = True
            return
        # An infinity makes no column numeric and no numeric column text: it costs its row.
        if math.isfinite(number) or "inf" not in value.lower():
            self._text = repr(number) != value
            self._numbers = True
        self._fractions = True

    def read(self, value: str) -> Any:
        """See Column."""
        if not value:
            return None
        if self._text or not (self._numbers or self._booleans):
            return value
        if value.lower() in NULLS:
            return None
        if self._booleans:
            return value in TRUE
        return float(value) if self._fractions else int(value)


class Typed:
    """A column that has a type already, which is kept; numbers that an index would change make it text."""

    def __init__(self) -> None:
        self._inexact = False

    def see(self, value: Any) -> None:
        """See Column."""
        if isinstance(value, int):
            self._inexact = self._inexact or abs(value) > MAX_INTEGER
        elif isinstance(value, Decimal):
            self._inexact = self._inexact or (value.is_finite() and Decimal(repr(float(value))) != value)

    def read(self, value: Any) -> Any:
        """See Column."""
        if isinstance(value, int | Decimal) and not isinstance(value, bool) and self._inexact:
            return str(value)
        return float(value) if isinstance(value, Decimal) else value


class Wanted:
    """A column whose type the settings name."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def see(self, value: Any) -> None:
        """See Column."""
        self.read(value)

    def read(self, value: Any) -> Any:
        """See Column. Raises ValueError where the value can't be of the kind."""
        if value is None or value == "" or (self._kind != "text" and str(value).strip().lower() in NULLS):
            return None
        match self._kind:
            case "text":
                return _text(value)
            case "number":
                return _number(value)
            case "boolean":
                return _boolean(value)
            case "list":
                return value if isinstance(value, list) else _list(_text(value))


def is_exact_integer(text: str) -> bool:
    """Return whether `text` is an integer as Python prints it, and small enough for an index to store it exactly."""
    return _INTEGER.fullmatch(text) is not None and text != "-0" and abs(int(text)) <= MAX_INTEGER


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    return json.dumps(value) if isinstance(value, bool | list) else str(value)


def _number(value: Any) -> int | float:
    if isinstance(value, int) or (isinstance(value, str) and _DIGITS.fullmatch(value)):
        return int(value)
    if isinstance(value, str) and "_" in value:
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _boolean(value: Any) -> bool:
    word = str(value).strip().lower()
    if word not in _YES | _NO:
        raise ValueError(f"{value!r} is neither true nor false")
    return word in _YES


def _list(text: str) -> list[str]:
    if text.lstrip().startswith("["):
        found = json.loads(text)
        return [one if isinstance(one, str) else json.dumps(one) for one in found if one is not None]
    return [part for part in _BETWEEN.split(text.strip()) if part]
