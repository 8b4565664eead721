"""A session with Pinecone's SDK: opened at first use; its errors become Pinery's, and the key is kept out of them."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from pinery.errors import (
    AccessDeniedError,
    ConfigError,
    PineryError,
    RequestTooLargeError,
    RowsRefusedError,
    TerminalError,
    ThrottledError,
    TransientError,
)

if TYPE_CHECKING:
    import pinecone
    from pinecone.grpc import GrpcIndex

T = TypeVar("T")

NO_KEY = (
    "no Pinecone API key: set the environment variable PINECONE_API_KEY (a deployment takes it from the Prefect Secret"
    " block `pinecone-api-key`); `index: {kind: lance}` needs no key"
)
_SIZE_WORDS = re.compile(r"message length too large|payload too large|request (size|body).*(exceeds|too large)", re.I)
_MONTH = re.compile(r"\b(current|this|calendar) month\b|\bmonthly (quota|limit|usage|budget|read|write)", re.I)
_PACE = re.compile(r"\bper (second|minute)\b|\bpace your requests\b", re.I)
_MAY_TAKE_EFFECT = (408, 500, 502, 504)
"""Statuses of failed requests that may still take effect."""
_SHORTEST_SECRET = 8
"""Shorter keys, such as those of tests, are not taken out of texts: they may be parts of words."""
REQUEST_SECONDS = 60.0


class PineconeSession:
    """The SDK's clients for one index, shared by up to `concurrency` threads.

    No request is repeated here, and a request to the index is over `request_timeout` seconds after its attempt began.
    """

    def __init__(
        self, name: str, api_key: str | None, concurrency: int, request_timeout: float = REQUEST_SECONDS
    ) -> None:
        self._name, self._api_key, self._concurrency = name, api_key, concurrency
        self.request_timeout = request_timeout
        self._lock = threading.Lock()
        self._client: pinecone.Pinecone | None = None
        self._index: pinecone.Index | None = None
        self._grpc: GrpcIndex | None = None

    def control(self, action: Callable[[pinecone.Pinecone], T]) -> T:
        """Call `action` with the control plane's client and return its result.

        Raises ConfigError for a refused request, and Pinery's errors in place of the SDK's.
        """
        client = self._connected()
        return self._mapped(lambda: action(client), ConfigError)

    def data(self, action: Callable[[pinecone.Index], T], refused: type[PineryError] = TerminalError) -> T | None:
        """Call `action` with the index's client and return its result, or None where the namespace doesn't exist.

        Raises `refused` where Pinecone, or the SDK itself, refuses the request for its content, and Pinery's errors in
        place of the SDK's.
        """
        import pinecone

        index = self._opened()

        def attempt() -> T | None:
            try:
                return action(index)
            except pinecone.NotFoundError as error:
                if "namespace" in error.message.replace(self._name, "").lower():
                    return None
                raise

        return self._mapped(attempt, refused)

    def grpc(self, action: Callable[[GrpcIndex], T], refused: type[PineryError]) -> T:
        """Call `action` with the index's gRPC client and return its result. Raises the same errors as `data`."""
        index = self._opened_grpc()
        return self._mapped(lambda: action(index), refused)

    def close(self) -> None:
        """Close all connections; a later call opens new ones."""
        with self._lock:
            clients = (self._index, self._grpc, self._client)
            self._index = self._grpc = self._client = None
        for client in clients:
            if client is not None:
                client.close()

    def clean(self, text: str) -> str:
        """Return `text` without the API key."""
        key = self._api_key or ""
        return text.replace(key, "***") if len(key) >= _SHORTEST_SECRET else text

    def _connected(self) -> pinecone.Pinecone:
        import pinecone

        with self._lock:
            if self._client is None:
                try:
                    # Between requests, the SDK keeps half of its pool's connections alive.
                    self._client = pinecone.Pinecone(
                        api_key=self._api_key,
                        connection_pool_maxsize=self._connections,
                        retry_config=pinecone.RetryConfig(max_retries=0),
                    )
                except pinecone.PineconeValueError as error:
                    raise ConfigError(NO_KEY if "No API key" in error.message else error.message) from None
                self._api_key = self._client.config.api_key
            return self._client

    def _opened(self) -> pinecone.Index:
        client = self._connected()
        with self._lock:
            if self._index is None:
                index = client.index(host=self._host(client))
                self._send_once(index)
                self._index = index
            return self._index

    def _send_once(self, index: pinecone.Index) -> None:
        # The SDK's `retry_config` doesn't reach this client, so its transport is replaced.
        from pinery.indexes.pinecone_transport import OnceTransport

        inner = index._http._client
        inner._transport.close()
        inner._transport = OnceTransport(self._connections, self.request_timeout)

    @property
    def _connections(self) -> int:
        return 2 * self._concurrency + 2

    def _opened_grpc(self) -> GrpcIndex:
        client = self._connected()
        with self._lock:
            if self._grpc is None:
                host = self._host(client)
                if host.startswith("http://") and os.environ.get("PINECONE_GRPC_SCHEME", "https") == "https":
                    # The SDK would try TLS, and wait for minutes.
                    raise ConfigError(
                        f"{host} is served without TLS: for index.transport grpc set PINECONE_GRPC_SCHEME=http"
                    )
                self._grpc = client.index(host=host, grpc=True)
            return self._grpc

    def _host(self, client: pinecone.Pinecone) -> str:
        host = self._mapped(lambda: client.indexes.describe(self._name).host, ConfigError)
        if host is None:
            raise TransientError(f"Pinecone index {self._name} has no host yet; it is still being created")
        return host

    def _mapped(self, action: Callable[[], T], refused: type[PineryError]) -> T:
        import httpx
        import pinecone

        try:
            return action()
        except (pinecone.PineconeError, httpx.HTTPError) as error:
            # The SDK's error is not chained, because it may repeat the key; its words are in ours.
            raise self._translated(error, refused) from None

    def _translated(self, error: Exception, refused: type[PineryError]) -> PineryError:
        import pinecone

        if isinstance(error, (pinecone.PineconeValueError, pinecone.PineconeTypeError)):
            return refused(self.clean(str(error)))
        if not isinstance(error, pinecone.ApiError):
            return self._without_status(error, refused)
        words, status = self.clean(error.message), error.status_code
        message = f"Pinecone index {self._name}: {self.clean(str(error))}"
        if status == 413 or (status == 400 and _SIZE_WORDS.search(words)):
            return self._too_large(message, refused)
        if status in (400, 422):
            # Only the bare words, because the same fault must read the same in every row and a request id would differ.
            return refused(words if issubclass(refused, RowsRefusedError) else message)
        if status in (401, 403):
            return AccessDeniedError(f"{message}; check PINECONE_API_KEY and the rights and quota of its project")
        if status == 404:
            return TerminalError(f"{message}; the index, its cloud or its region doesn't exist for this API key")
        if status == 429 and _MONTH.search(words) and not _PACE.search(words):
            return TerminalError(
                f"{message}; the monthly quota is used up: upgrade the plan or wait for the next month"
            )
        if status == 429:
            return ThrottledError(message, retry_after=_retry_after(error))
        if status in (408, 425) or status >= 500:
            return TransientError(message, retry_after=_retry_after(error), unanswered=status in _MAY_TAKE_EFFECT)
        return TerminalError(message)

    def _without_status(self, error: Exception, refused: type[PineryError]) -> PineryError:
        import httpx

        from pinery.indexes.pinecone_transport import LateError

        message = self.clean(f"Pinecone index {self._name}: {type(error).__name__}: {error}")
        if _SIZE_WORDS.search(message):  # over gRPC, a refusal for size has no status that the SDK knows
            return self._too_large(message, refused)
        cause = error if isinstance(error, httpx.HTTPError) else error.__cause__
        if isinstance(cause, LateError):
            # There are more requests at once than the network can carry.
            return ThrottledError(f"{message} (upsert.request_timeout is {self.request_timeout:g} s)")
        unsent = isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        return TransientError(message, unanswered=not unsent)

    def _too_large(self, message: str, refused: type[PineryError]) -> PineryError:
        return RequestTooLargeError(message) if issubclass(refused, RowsRefusedError) else refused(message)


def _retry_after(error: Exception) -> float | None:
    """Return the seconds that the answer's Retry-After asks for, or None where it has none in seconds."""
    headers = getattr(error, "headers", None) or {}
    try:
        seconds = float(next(value for name, value in headers.items() if name.lower() == "retry-after"))
    except (StopIteration, ValueError, TypeError):
        return None
    return seconds if 0 <= seconds < float("inf") else None
