"""Requests that no well-meaning program sends, generated from a schema of the API and written by hand."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from hypothesis import strategies as st

NASTY = (
    "", " ", "\0", "\n", "\x7f", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "C:\\boot.ini",
    "a" * 9000,
    "%", "%zz", "\ud800", "\U0001f600" * 200, "null", "true", "NaN", "Infinity", "-1", "0", "1e999", "9" * 400, "0x10",
    "[]", "{}", "'; DROP TABLE items; --", "${jndi:ldap://x}", "{{7*7}}", "<script>alert(1)</script>", "file:///etc/passwd",
    "http://169.254.169.254/latest", "\u202e", "a,b", "\\\\host\\share", "..", ".", "//", "%00", "--allow-deletes",
)  # fmt: skip
"""Values for any parameter."""
FILTERS = (
    "{", "[]", "1", '"x"', "null", '{"label": NaN}', '{"label": {"$gt": Infinity}}', '{"$or": []}', '{"$and": {}}',
    '{"label": {"$in": "x"}}', '{"label": {"$regex": "a+"}}', '{"label": {"$eq": {"a": 1}}}', '{"label": [[1]]}',
    '{"label": {"$in": [' + "1," * 3000 + "1]}}", '{"$not": {"label": 1}}', '{"": 1}', '{"a": {"$in": []}}',
    '{"$and": [' * 400 + "{}" + "]}" * 400, '{"a":' * 900 + "1" + "}" * 900, '{"l\\u0000": 1}', '{"a\'b\\"c": "x"}',
    '{"label": 1e400}', '{"label": ' + "9" * 500 + "}", '{"label": {"$gt": "x"}}', '{"label": "\\ud800"}',
)  # fmt: skip
"""Filters that are none, and some that match nothing."""


@dataclass(frozen=True)
class Bad:
    """One request."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Its path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path


def png(width: int, height: int) -> bytes:
    """A PNG of one colour, one bit a pixel, which is small however many pixels it has."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    # Printed by hand: Pillow would hold a byte for each pixel, 900 MB for the largest.
    pixels = zlib.compress(bytes((1 + (width + 7) // 8) * height))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def parts(*pieces: bytes, end: bytes = b"--B--\r\n") -> bytes:
    """A form of parts; each piece is the head of a part, a blank line, and its content."""
    return b"".join(b"--B\r\n" + piece + b"\r\n" for piece in pieces) + end


IMAGE_PART = b'Content-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
TORN = (
    b"", b"--B", b"--B\r\n", b"--B\r\n\r\n", b"--B--\r\n", b"--X\r\n", b"\r\n" * 5000, parts(IMAGE_PART, end=b""),
    parts(b"Content-Disposition: form-data\r\n\r\nx"), parts(b"X: y\r\n\r\nx"), parts(IMAGE_PART + b"no image"),
    parts(b'Content-Disposition: form-data; name="image"\r\n\r\nx'), parts(b"\xff\xfe: \xff\r\n\r\nx"),
    parts(*(b'Content-Disposition: form-data; name="f%d"\r\n\r\nx' % n for n in range(2000))),
    parts(*(IMAGE_PART + b"x" for _ in range(200))), parts(b"H" * 60_000 + b": x\r\n\r\nx"),
    parts(b'Content-Disposition: form-data; name="text"\r\n\r\n' + b"x" * 100_000),
    parts(b'Content-Disposition: form-data; name="image"; filename="../../a.jpg"\r\n\r\n\xff\xd8\xff'),
)  # fmt: skip
"""Bodies that are no whole form."""
BOMBS = (
    png(9000, 9000),
    png(30_000, 30_000),
    zlib.compress(b"\0" * (50 << 20)),
    b"GIF89a" + b"\xff\xff" * 2 + b"\0\0\0,",
    b"\xff\xd8\xff\xe0" + b"\0" * 1000,
    b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    b"II*\0" + b"\xff" * 500,
    b"RIFF\xff\xff\xff\x7fWEBPVP8X" + b"\xff" * 100,
)
"""Images that are none, or far too many pixels."""


def by_hand(operations: list[tuple[str, str, list[dict[str, Any]]]]) -> list[Bad]:
    """Return what was thought of: each nasty value in each parameter, torn forms, bombs, and wrong types."""
    found = []
    for method, path, parameters in operations:
        if method == "GET" and path in ("/healthz", "/openapi.json"):
            continue
        for one in parameters:
            values = FILTERS if one["name"] == "filter" else NASTY
            found += [Bad(method, path, encoded([(one["name"], value)])) for value in values]
    for path in ("/api/search", "/search", "/api/items", "/items", "/login"):
        form = {"content-type": "multipart/form-data; boundary=B"}
        found += [Bad("POST", path, "name=a.jpg", body, form) for body in TORN]
        found.append(Bad("POST", path, "name=a.jpg", TORN[3], {"content-type": "multipart/form-data"}))
        found += [Bad("POST", path, "name=a.jpg", body, {"content-type": "image/jpeg"}) for body in BOMBS]
        found += [
            Bad("POST", path, "name=a.jpg", parts(IMAGE_PART + body), form | {"content-encoding": "gzip"})
            for body in BOMBS[:2]
        ]
    found += [Bad(method, "/%2e%2e/%2e%2e/etc/passwd") for method in ("GET", "POST", "DELETE")]
    found += [
        Bad("GET", path) for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/x" * 5000)
    ]
    return found


def encoded(pairs: list[tuple[str, str]]) -> str:
    """Return parameters as a query, with lone surrogates as the bytes that no UTF-8 has."""
    return urlencode(pairs, errors="surrogatepass")


def operations_of(schema: dict[str, Any]) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Return method, path and parameters of each operation of an OpenAPI schema."""
    return [
        (method.upper(), path, [one for one in operation.get("parameters", ()) if one["in"] == "query"])
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]


def values_of(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    """Return values near what a parameter's schema allows: around its limits, and of other types."""
    kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    inner = kinds[0].get("items", kinds[0]) if kinds else schema
    anything = st.sampled_from(NASTY) | st.text(max_size=40) | st.floats().map(str) | st.integers().map(str)
    if inner.get("type") in ("integer", "number"):
        ends = [inner[name] for name in ("minimum", "maximum", "exclusiveMaximum", "exclusiveMinimum") if name in inner]
        return st.sampled_from([str(end + by) for end in ends or [0] for by in (-1, 0, 1)]) | anything
    if "maxLength" in inner:
        return (
            st.sampled_from([inner["maxLength"], inner["maxLength"] + 1]).map(lambda size: "a" * min(size, 20_000))
            | anything
        )
    return anything


def json_values() -> st.SearchStrategy[str]:
    """Return JSON texts, as filters are: of any shape, with the operators of filters as keys."""
    keys = st.sampled_from(["label", "$eq", "$ne", "$gt", "$gte", "$in", "$nin", "$and", "$or", "$exists", "$x"])
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
    values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=3))
    return values.map(json.dumps)


@st.composite
def generated(draw: st.DrawFn, operations: list[tuple[str, str, list[dict[str, Any]]]]) -> Bad:
    """A request to an operation of the schema, with values that may fit its parameters or not."""
    method, path, parameters = draw(st.sampled_from(operations))
    pairs = list[tuple[str, str]]()
    for one in parameters:
        if one["name"] == "wait":
            continue  # it may wait as long as it is told
        if draw(st.integers(0, 3)) == 0 or one.get("required"):
            values = json_values() if one["name"] == "filter" else values_of(one["schema"])
            pairs += [(one["name"], value) for value in draw(st.lists(values, min_size=1, max_size=2))]
    body = draw(st.binary(max_size=200) | st.sampled_from(TORN)) if method != "GET" else b""
    kind = draw(
        st.sampled_from(["multipart/form-data; boundary=B", "image/jpeg", "application/json", "text/plain", "\\"])
    )
    return Bad(method, path, encoded(pairs), body, {"content-type": kind} if body else {})
