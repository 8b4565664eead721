"""Settings of a local Pinecone; every field may be changed while the server runs."""

from dataclasses import dataclass
from typing import Literal


@dataclass
class Settings:
    """Behaviour that tests and drills vary. Times are seconds."""

    api_key: str | None = None
    """The only key that is accepted; None accepts any that isn't empty."""
    ready_after: float = 0.02
    """A new index reports for this long, and at least once, that it isn't ready; `math.inf` means until
    `server.make_ready(name)`, 0 that it is ready at once."""
    lag: float = 0.02
    """A write stays invisible to reads for this long, and to at least one read; 0 makes it visible at once."""
    held: bool = False
    """While true no write becomes visible at all."""
    latency: float = 0.0
    """Added to every data-plane request."""
    max_body: int = 2_000_000
    """The largest request body in bytes."""
    oversize: Literal["413", "400"] = "413"
    """The refusal of a larger body: a bare 413, as proxies do, or a 400 that says `message length too large`."""
    null_metadata: Literal["reject", "strip"] = "reject"
    """The treatment of null metadata values; Pinecone's documents and its SDK's source disagree."""
    rate: float | None = None
    """The most data-plane requests per second and namespace; one more gets a 429. None is no limit."""
    month_write_units: int | None = None
    """The write units of a month; writes that come once they are spent get a 429 for good. None is no limit."""
    s3_endpoint: str | None = None
    """The endpoint of `s3://` for bulk imports; None takes boto3's AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL."""
    import_seconds: float = 0.0
    """A bulk import is `InProgress` for at least this long."""
    integration_id: str | None = None
    """The storage integration that bulk imports must name; None takes any and none."""
    grpc: bool = False
    """True where an index created from now on has its own port, which speaks both REST and gRPC."""
