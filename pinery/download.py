"""Downloads over HTTP. No error shows a secret of the address."""

from collections.abc import Iterator

import httpx

from pinery.addresses import without_secrets
from pinery.errors import AccessDeniedError, ConfigError, PineryError, TransientError

CHUNK = 1 << 20
SECONDS = 30.0
"""The longest wait for a connection, and for each piece of an answer."""
DENIED, MISSING, PASSING = (401, 403), (404, 410), (408, 429)
"""HTTP statuses by what they mean; other 4xx say that the request itself is refused."""


def http_chunks(address: str) -> Iterator[bytes]:
    """Yield the bytes at an http:// or https:// address, in pieces of at most 1 MiB; redirects are followed.

    Raises AccessDeniedError where access is denied; ConfigError where the address is not valid, nothing is there or the
    request is refused; and TransientError where no proper answer came.
    """
    shown = without_secrets(address)
    try:
        with httpx.stream("GET", address, follow_redirects=True, timeout=SECONDS) as response:
            if response.status_code != httpx.codes.OK:
                raise _refusal(shown, response.status_code)
            yield from response.iter_bytes(CHUNK)
    except httpx.InvalidURL:
        raise ConfigError(f"{shown} is not a valid address") from None
    except httpx.HTTPError as error:  # not chained, because its own text may hold the whole address
        raise TransientError(f"{shown} did not deliver the file ({type(error).__name__}); try again") from None


def _refusal(shown: str, status: int) -> PineryError:
    if status in DENIED:
        return AccessDeniedError(f"access to {shown} is denied ({status})")
    if status in MISSING:
        return ConfigError(f"there is nothing at {shown} ({status})")
    if 400 <= status < 500 and status not in PASSING:
        return ConfigError(f"{shown} refuses the request ({status})")
    return TransientError(f"{shown} answered {status}; try again")
