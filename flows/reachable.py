"""Checks whether a Prefect API answers, before anything is asked of it."""

import re

import httpx

from pinery.errors import TerminalError

PROBE_SECONDS = 10.0
ANSWER_SECONDS = 5.0


def check_reachable(url: str) -> str:
    """Return the URL without credentials, for people to read. Raises TerminalError where nothing answers there."""
    # Any answer will do, 401 and 404 too: Prefect finds out whether the server takes these credentials.
    # No credentials are sent, so that the certificate needs no check; Prefect has settings of its own for that.
    bare = _bare(url)
    try:
        httpx.get(f"{bare}/health", timeout=PROBE_SECONDS, verify=False)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol, httpx.InvalidURL):
        raise TerminalError(
            f"PREFECT_API_URL={bare} does not answer; start that server or unset the variable"
        ) from None
    except httpx.HTTPError:
        pass  # it took the connection
    return bare


def answers(url: str) -> bool:
    """Return whether the API at `url` answers within seconds, whatever it says."""
    try:
        httpx.get(f"{_bare(url)}/health", timeout=ANSWER_SECONDS, verify=False)
    except httpx.HTTPError:
        return False
    return True


def _bare(url: str) -> str:
    return re.sub(r"^(\w+://)?.*@", r"\1", url.split("?")[0]).rstrip("/")
