"""The server process of the search page."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import sys
from collections.abc import Callable, Iterator

import uvicorn

from pinery.errors import ConfigError
from pinery.web.app import build
from pinery.web.connections import HEAD_BYTES, PatientConnection
from pinery.web.hosts import is_loopback
from pinery.web.site import ServerSettings, Site

KEEP_ALIVE_SECONDS, LEAVING_SECONDS, WAITING_CONNECTIONS = 15, 3, 512
SAFE_LENGTH = 16
"""The characters of a token that nobody guesses at the pace that the brake allows."""
MAKE = "python -c 'import secrets; print(secrets.token_urlsafe())'"
log = logging.getLogger("pinery.web")
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # what is printed for them, not what is listened on


def serve(site: Site, ready: Callable[[str], None]) -> None:
    """Serve a site until a signal ends the process; call `ready` with its address once it answers.

    Raises ConfigError where the host needs a token, or host and port can't be listened on.
    """
    settings = site.settings
    check(settings)
    listening = listen(settings.host, settings.port)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="pinery: %(message)s")
    if settings.token is not None and len(settings.token) < SAFE_LENGTH:
        log.warning(
            "PINERY_TOKEN has %d characters, which can be guessed in time; take %d or more, as from %s",
            len(settings.token),
            SAFE_LENGTH,
            MAKE,
        )
    for parser in ("multipart", "python_multipart"):
        logging.getLogger(parser).setLevel(logging.ERROR)  # they warn of what visitors send
    config = uvicorn.Config(
        build(site),
        http=PatientConnection,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        backlog=WAITING_CONNECTIONS,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=LEAVING_SECONDS,
    )
    Server(config, lambda: ready(address(listening, settings.host))).run(sockets=[listening])


class Server(uvicorn.Server):
    """A server that says when it is ready, and for which a signal is the usual end."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and say where."""
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; connections that were about to be accepted are closed as well, for which uvicorn would wait."""
        late = asyncio.create_task(self._close_late_ones())
        await super().shutdown(sockets)
        late.cancel()

    async def _close_late_ones(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            for one in list(self.server_state.connections):
                if isinstance(one, PatientConnection) and one.is_waiting and not one.transport.is_closing():
                    one.shutdown()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End at a signal, which isn't raised once more after that."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()


def check(settings: ServerSettings) -> None:
    """Raise ConfigError where others than this machine's users could reach the page without a good token."""
    if settings.token is None and not is_loopback(settings.host):
        raise ConfigError(
            f"others than this machine can reach {settings.host}, so visitors have to show a token: set PINERY_TOKEN to"
            f" one, as from {MAKE}, or leave out --host"
        )
    if settings.token is not None and not (settings.token.isascii() and settings.token.isprintable()):
        raise ConfigError(f"PINERY_TOKEN has characters that no header can carry; take printable ASCII, as from {MAKE}")


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a host and port. Raises ConfigError where that can't be."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError):
        raise ConfigError(f"there is no host {host!r} to listen on; correct --host") from None
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and host == "::":
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(where)
        listening.listen(WAITING_CONNECTIONS)
    except OSError as error:
        listening.close()
        raise ConfigError(_why_not(error, host, port)) from None
    return listening


def address(listening: socket.socket, host: str) -> str:
    """Return the address of the page, with the port that was found where none was given."""
    name = EVERYWHERE.get(host, host)
    return f"http://{f'[{name}]' if ':' in name else name}:{listening.getsockname()[1]}"


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; end what listens there, or choose another with --port (0 finds one)"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"this user may not listen on port {port}; choose one from 1024 on with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; correct --host"
    return f"{host}, port {port}, can't be listened on: {error.strerror or error}"
