"""The whole server: one port for the control plane (at `/`) and every index's data plane (at `/ix/<name>`)."""

from __future__ import annotations

from tests.pinecone_server.control import ControlPlane, Door
from tests.pinecone_server.data import DataPlane
from tests.pinecone_server.exchange import Exchange
from tests.pinecone_server.faults import Faults
from tests.pinecone_server.imports import Imports
from tests.pinecone_server.log import RequestLog
from tests.pinecone_server.settings import Settings
from tests.pinecone_server.transport import Http


class PineconeServer:
    """A local Pinecone; a context manager that serves from enter to exit.

    `settings`, `faults` and `log` may be used at any time; `stop` and `start` simulate an outage and keep all data.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.faults = Faults()
        self.log = RequestLog()
        self.control = ControlPlane(self.settings, self._open_door)
        self.host = host
        self.port = port
        self._exchange = Exchange(self.settings, self.faults, self.log, self.control)
        self._http: Http | None = None

    @property
    def url(self) -> str:
        """The control plane's address; the data planes' begin with it."""
        return f"http://{self.host}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point Pinecone's SDK at this server."""
        names = {"PINECONE_CONTROLLER_HOST": self.url, "PINECONE_API_KEY": self.settings.api_key or "local"}
        return names | ({"PINECONE_GRPC_SCHEME": "http"} if self.settings.grpc else {})

    def start(self) -> None:
        """Listen; with port 0 on a free port, which is kept over a `stop`."""
        self._http = Http((self.host, self.port), self._exchange)
        self.port = self._http.port
        self._exchange.base = self.url
        self._http.start()
        for door in self.control.doors:
            door.start()

    def stop(self) -> None:
        """Stop listening and break all connections; the data stay for a later `start`."""
        if self._http is not None:
            http, self._http = self._http, None
            self.faults.open_gates()
            http.stop()
            for door in self.control.doors:
                door.stop()

    def hold(self) -> None:
        """Make no further write visible until `release`."""
        self.settings.held = True

    def release(self) -> None:
        """Make writes visible again, those held back included."""
        self.settings.held = False

    def hold_imports(self, status: str = "InProgress") -> None:
        """Let bulk imports stay in `status`, `Pending` or `InProgress`, until `release_imports`."""
        self.control.holds.hold(status)

    def release_imports(self) -> None:
        """Let bulk imports run to their end."""
        self.control.holds.hold(None)

    def wait_for_import(self, name: str, id: str, status: str) -> bool:
        """Wait until an import of the index `name` is held in `status` or has ended in it; False after 20 s."""
        return self.control.holds.wait_for(self.imports(name).runs[id], status, 20.0)

    def make_ready(self, name: str) -> None:
        """Let an index report that it is ready, whatever `ready_after` says."""
        self.control.index(name).ready = True

    def data(self, name: str) -> DataPlane:
        """An index's data plane, for a test to look at past HTTP."""
        return self.control.index(name).data

    def imports(self, name: str) -> Imports:
        """An index's bulk imports, for a test to look at."""
        return self.control.index(name).imports

    def __enter__(self) -> PineconeServer:
        self.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    def _open_door(self, name: str) -> Door | None:
        if not self.settings.grpc:
            return None
        # gRPC needs packages that nothing else here needs.
        from tests.pinecone_server.door import IndexDoor

        door = IndexDoor(self.host, name, self._exchange)
        door.start()
        return door
