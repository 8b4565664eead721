"""Takes the secrets out of addresses: a password before the host, or a signature in the query."""

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

_ADDRESS = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*)://([^\s'\"<>`]+)")
_CLOSING = re.compile(r"[),.;:!\]}]*$")
_KEYS = ("s3", "file", "torchvision")
"""Schemes whose addresses are keys or paths, in which `?` and `#` are ordinary characters."""
_SECRET = re.compile(r"pass(word|wd|phrase)?$|pwd$|secret|token|api_?key|access_?key|credential|signature|^sig$", re.I)
_PARAMETER = re.compile(r"(?<=[?&;])([^\s=&?;'\"]+)=([^\s&;'\"]+)")
_HARMLESS = {"alt", "dl", "download", "export", "raw", "ref", "rev", "revision", "v", "version", "versionid"}
"""Parameters of a query that only say which file is meant."""
HIDDEN = "…"


def without_secrets(text: str) -> str:
    """Return `text` with every address in it cut down to scheme, host and path."""
    return _PARAMETER.sub(_hidden_parameter, _ADDRESS.sub(_bare, text))


def holds_secret(address: str) -> bool:
    """Return whether an address has a user or password before its host, or a query that may be a signature."""
    return any(_is_secret(*match.groups()) for match in _ADDRESS.finditer(address))


def is_secret_name(name: str) -> bool:
    """Return whether a name, such as `api_key`, `password` or `X-Amz-Signature`, is that of a secret."""
    return bool(_SECRET.search(name.replace("-", "_")))


def shown(value: Any) -> Any:
    """Return a copy of `value` in which every value that has the name of a secret is hidden, at any depth."""
    if isinstance(value, Mapping):
        return {key: HIDDEN if is_secret_name(str(key)) else shown(one) for key, one in value.items()}
    return [shown(one) for one in value] if isinstance(value, list) else value


def secrets_in(value: Any, where: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the dotted keys of the addresses with a secret in a nested mapping."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from secrets_in(one, (*where, str(key)))
    elif isinstance(value, list):
        for one in value:
            yield from secrets_in(one, where)
    elif isinstance(value, str) and holds_secret(value):
        yield ".".join(where)


class ShowsNoSecrets(logging.Filter):
    """Takes the secrets out of the addresses in all messages of a logger."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Take the secrets out of a record, and let it pass."""
        record.msg, record.args = without_secrets(record.getMessage()), None
        if record.exc_info:  # the causes of our errors are errors of other libraries, which may show secrets
            record.exc_text = without_secrets(logging.Formatter().formatException(record.exc_info))
        return True


def _bare(match: re.Match[str]) -> str:
    scheme, rest = match.groups()
    closing = _CLOSING.search(rest)
    assert closing is not None
    _, rest = _divided(rest)
    if scheme.lower() in _KEYS:
        return f"{scheme}://{rest}"
    kept = re.split(r"[?#]", rest, maxsplit=1)[0]
    return f"{scheme}://{kept}" + (closing.group() if len(kept) < len(rest) else "")


def _divided(rest: str) -> tuple[str, str]:
    """Return an address without its scheme, divided into the user before the host, and the host with what follows."""
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, at, _ = host.rpartition("@")
    if at:
        return user, rest[len(user) + 1 :]
    if "@" in rest and re.search(r":(?!\d*$)", host) and not host.startswith("["):
        # The password has a slash in it, and what looks like a port is a part of it.
        user, _, rest = rest.rpartition("@")
        return user, rest
    return "", rest


def _is_secret(scheme: str, rest: str) -> bool:
    user, rest = _divided(rest)
    if user:
        return True
    _, question, query = rest.partition("?")
    if scheme.lower() in _KEYS or not question:
        return False
    pairs = parse_qsl(query.partition("#")[0], keep_blank_values=True)
    return any(name.lower() not in _HARMLESS for name, _ in pairs)


def _hidden_parameter(match: re.Match[str]) -> str:
    name = match.group(1)
    return f"{name}={HIDDEN}" if is_secret_name(name) else match.group()
