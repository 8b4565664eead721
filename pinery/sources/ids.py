"""Makes ids of keys: 1 to 512 printable ASCII characters, as Pinecone takes them, never the same for two keys."""

import hashlib
import posixpath
import re
import unicodedata
from typing import Literal
from urllib.parse import unquote

from pinery.errors import ConfigError

MAX_ID_LENGTH = 512

_NOT_KEPT = re.compile(rb"[^ -$&-~]")  # all but printable ASCII, and `%` itself: so decoding is unambiguous
_CUT_ESCAPE = re.compile(r"%[0-9A-F]?$")
# No escape continues with `~`, so the id of a long key can't be the id of a short one.
_CUT_MARK = "%~"


def item_id(key: str, how: Literal["key", "md5-path"]) -> str:
    """Return the id of the item with `key`: 1 to 512 printable ASCII characters, another one for every key.

    With `key` an id is the key, with non-ASCII and control characters and `%` percent-encoded as UTF-8; over 512
    characters its tail is replaced by a SHA-256. With `md5-path` it is the hex MD5 of the key's UTF-8.
    Bytes of a file name that are no UTF-8 are taken as `os.fsdecode` gives them.

    Raises ConfigError where the key is empty.
    """
    raw = key.encode("utf-8", "surrogateescape")
    if not raw:
        raise ConfigError("an item with an empty key can't have an id; list its folder instead of the item itself")
    if how == "md5-path":
        return hashlib.md5(raw, usedforsecurity=False).hexdigest()
    encoded = _NOT_KEPT.sub(lambda found: b"%%%02X" % found[0][0], raw).decode("ascii")
    if len(encoded) <= MAX_ID_LENGTH:
        return encoded
    tail = _CUT_MARK + hashlib.sha256(raw).hexdigest()
    return _CUT_ESCAPE.sub("", encoded[: MAX_ID_LENGTH - len(tail)]) + tail


def readable(key: str) -> str:
    """Return `key` as valid Unicode: bytes that are no UTF-8 are percent-encoded."""
    if key.isascii():
        return key
    return "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in key)


def plain(name: str) -> str:
    """Return a name as people write it: composed Unicode (NFC), `/` between folders, no `./` and no `/` in front."""
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
    if "\\" in name:
        name = name.replace("\\", "/")
    if name.startswith((".", "/")) or "/." in name or "//" in name:
        name = posixpath.normpath(name).lstrip("/")
    return name


def decoded(name: str) -> str:
    """Return `name` with its percent-encoded characters decoded, or as it is if that gives no UTF-8."""
    if "%" not in name:
        return name
    try:
        return unquote(name, errors="strict")
    except UnicodeDecodeError:
        return name


def possible_ids(name: str, how: Literal["key", "md5-path"]) -> list[str]:
    """Return the ids that `name`, an id or a plain name, may mean, the best first."""
    keys = [name, plain(name), unicodedata.normalize("NFD", plain(name))]
    return list(dict.fromkeys([name, *(item_id(key, how) for key in keys if key)]))
