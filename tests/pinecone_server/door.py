"""One index's own port, which speaks REST and gRPC, as a host of the service does.

Pinecone's SDK drops the path of a host that it dials with gRPC, so indexes behind one port could not be told apart.
"""

from tests.pinecone_server.exchange import Exchange
from tests.pinecone_server.rpc import Rpc
from tests.pinecone_server.transport import Http


class IndexDoor:
    """A listening port for the index `name`; `stop` and `start` keep its number."""

    def __init__(self, host: str, name: str, exchange: Exchange) -> None:
        self._host, self._name, self._exchange = host, name, exchange
        self._port = 0
        self._http: Http | None = None
        self._rpc: Rpc | None = None

    @property
    def url(self) -> str:
        """The index's host, for both protocols."""
        return f"http://{self._host}:{self._port}"

    def start(self) -> None:
        """Listen."""
        self._rpc = Rpc(self._host, self._name, self._exchange)
        self._http = Http((self._host, self._port), self._exchange, f"/ix/{self._name}", self._rpc.port)
        self._port = self._http.port
        self._http.start()

    def stop(self) -> None:
        """Stop listening and break all connections."""
        if self._http is not None:
            self._http.stop()
        if self._rpc is not None:
            self._rpc.stop()
        self._http = self._rpc = None
