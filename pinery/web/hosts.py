"""The names under which the server may be asked for, so that no foreign name can be bound to its address."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from pinery.web.refusals import refuse

VARIABLE = "PINERY_PAGE_HOSTS"
"""The environment variable with more names, separated by commas: those of a reverse proxy."""
LOOPBACK_NAMES = {"localhost", "localhost.localdomain", "ip6-localhost"}


class KnownHosts:
    """Refuses requests for names that aren't the server's (ASGI).

    A page of a foreign name whose owner points it at this machine would count as of one origin with the server, and
    could read all of it. Allowed are loopback names and addresses, the name that the server was told to listen on, the
    address that a connection came in at, and the names that it was given beside.
    """

    def __init__(self, app: ASGIApp, *, host: str, more: Iterable[str] = ()) -> None:
        self._app = app
        self._names = {name.strip().lower().rstrip(".") for name in (host, *more)} - {""}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 421."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        asked = Headers(scope=scope).get("host", "")
        if self._knows(name_of(asked), (scope.get("server") or ("",))[0]):
            return await self._app(scope, receive, send)
        sentence = (
            f"this server isn't known as {asked[:100]!r}; use the address that it printed at its start, or start it"
            f" with that name in {VARIABLE}"
        )
        return await refuse(scope, 421, sentence)(scope, receive, send)

    def _knows(self, name: str, reached: str) -> bool:
        return bool(name) and (name in self._names or is_loopback(name) or _same_address(name, reached))


def name_of(host: str) -> str:
    """Return the name or address in a `Host` header, without its port and brackets; empty where there is none."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")


def is_loopback(name: str) -> bool:
    """Return whether a name or address is one of this machine alone."""
    if name in LOOPBACK_NAMES:
        return True
    found = ip(name)
    return found is not None and found.is_loopback


def ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address, of IPv4 also where it is written as one of IPv6; None for what is no address."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


def _same_address(name: str, reached: str) -> bool:
    return (found := ip(name)) is not None and found == ip(reached)
