"""How a local Pinecone behaves; every field may be changed while the server runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class Settings:
    """Behaviour that tests and drills vary. Times are seconds."""

    api_key: str | None = None
    """The only key that is accepted; None accepts any that isn't empty."""
    ready_after: float = 0.0
    """How long a new index reports that it isn't ready; `math.inf` means until `server.make_ready(name)`."""
    lag: float = 0.0
    """How long a write stays invisible to reads."""
    held: bool = False
    """While true no write becomes visible at all."""
    latency: float = 0.0
    """Added to every data-plane request."""
    max_body: int = 2_000_000
    """The largest request body in bytes."""
    oversize: Literal["413", "400"] = "413"
    """How a larger body is refused: a bare 413, as proxies do, or a 400 that says `message length too large`."""
    null_metadata: Literal["reject", "strip"] = "reject"
    """What becomes of null metadata values; Pinecone's documents and its SDK's source disagree."""
