"""Makes S3 clients, and says what an error of S3 means; each room says in its own words what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import urlsplit

import boto3
import botocore.session
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    LoginError,
    NoAuthTokenError,
    NoCredentialsError,
    PaginationError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as EndpointError
from botocore.loaders import create_loader
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from pinery.errors import ConfigError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

    from pinery.settings import S3Access

CONNECT_TIMEOUT, READ_TIMEOUT = 5, 30
"""The longest waits for a connection and for an answer, in seconds."""
RETRIES = 5
"""The number of times that the SDK repeats one request."""
BODY_ERRORS = (HTTPClientError, HTTPError)
"""The errors of a connection that breaks while the body of an answer is read, which the SDK doesn't repeat."""
ERRORS = (ClientError, BotoCoreError, Boto3Error, HTTPError)
"""All errors that the SDK raises."""

_API = create_loader()
"""The SDK's descriptions of its services, which are read once: that takes most of the time that a new client takes."""
_OF_A_LISTING = ("IsTruncated", "KeyCount", "MaxKeys", "Name", "Contents")
"""What the page of a listing has one or more of; another answer with a good status may be that of a proxy."""


class IncompleteAnswerError(BotoCoreError):
    """An answer with a good status that lacks what S3 always sends: it may not be from S3 at all."""

    fmt = "{what}"


_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    NoAuthTokenError,
    TokenRetrievalError,
    SSOError,
    LoginError,
)
_DISCONNECTED = (HTTPClientError, EndpointError, IncompleteReadError, FlexibleChecksumError, HTTPError)
_FOREIGN = (IncompleteAnswerError, PaginationError, ResponseParserError)


class Fault(Enum):
    """The cause of an error of S3."""

    NO_CREDENTIALS = auto()
    """This machine has no credentials, or none that can be used."""
    BAD_CREDENTIALS = auto()
    """The server takes these credentials for no request."""
    DENIED = auto()
    """The credentials don't allow this request."""
    ARCHIVED = auto()
    """The object can't be read before it is restored."""
    BAD_NAME = auto()
    """No bucket can have this name."""
    NO_BUCKET = auto()
    MISSING = auto()
    """The bucket is there, and the object isn't."""
    CONFLICT = auto()
    """A condition of the request doesn't hold."""
    UNSUPPORTED = auto()
    """The server doesn't know what was asked for."""
    PASSING = auto()
    """The server is busy or failed: the same request may succeed later."""
    DISCONNECTED = auto()
    FOREIGN = auto()
    """The answer is none that S3 gives: a proxy's, perhaps."""
    OTHER = auto()


_FAULTS = {
    **dict.fromkeys(
        ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"), Fault.BAD_CREDENTIALS
    ),
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled"), Fault.DENIED),
    **dict.fromkeys(("PreconditionFailed", "ConditionalRequestConflict"), Fault.CONFLICT),
    **dict.fromkeys(
        ("SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequests", "InternalError"),
        Fault.PASSING,
    ),
    "NoSuchUpload": Fault.PASSING,  # an upload in pieces ended before its last request, and is begun anew
    "InvalidObjectState": Fault.ARCHIVED,
    "NoSuchBucket": Fault.NO_BUCKET,
    "NoSuchKey": Fault.MISSING,
    "NotImplemented": Fault.UNSUPPORTED,
    "409": Fault.CONFLICT,  # an answer without a body, whose code is its status; other conflicts have codes
}
_FAULTS_BY_STATUS = {
    401: Fault.BAD_CREDENTIALS,
    403: Fault.DENIED,
    404: Fault.MISSING,
    408: Fault.PASSING,
    410: Fault.MISSING,
    412: Fault.CONFLICT,
    429: Fault.PASSING,
    501: Fault.UNSUPPORTED,
}


class Meaning(NamedTuple):
    """The meaning of an error, and what may be shown of it."""

    fault: Fault
    status: int
    """The HTTP status of the answer; 0 if there was none."""
    name: str
    """The code of the answer, or the type of the error. The texts of the SDK may hold addresses with passwords."""


def meaning(error: Exception) -> Meaning:
    """Return what one of `ERRORS` means."""
    if isinstance(error, ClientError):
        response: Any = error.response
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = str(response.get("Error", {}).get("Code", "unknown"))
        fault = fault_of(status, code)
        if fault is Fault.MISSING and error.operation_name.startswith("List"):
            fault = Fault.NO_BUCKET  # a listing names no object that could be missing
        return Meaning(fault, status, code)
    name = str(error) if isinstance(error, IncompleteAnswerError) else type(error).__name__
    return Meaning(_fault_without_answer(error), 0, name)


def fault_of(status: int, code: str = "") -> Fault:
    """Return what an answer with an HTTP status and a code of S3 means."""
    known = _FAULTS.get(code) or _FAULTS_BY_STATUS.get(status)
    return known or (Fault.PASSING if status >= 500 else Fault.OTHER)


def _fault_without_answer(error: Exception) -> Fault:
    if isinstance(error, _NO_CREDENTIALS):
        return Fault.NO_CREDENTIALS
    if isinstance(error, ParamValidationError):
        return Fault.BAD_NAME
    if isinstance(error, _FOREIGN):
        return Fault.FOREIGN
    return Fault.DISCONNECTED if isinstance(error, _DISCONNECTED) else Fault.OTHER


def connect(
    access: S3Access,
    where: str,
    group: str,
    *,
    retries: int = RETRIES,
    mode: Literal["standard", "adaptive"] = "standard",
    connections: int = 32,
    checksums: Literal["when_supported", "when_required"] = "when_supported",
) -> S3Client:
    """Return a client of the S3 API that `access` describes; nothing is reached yet.

    `where` is what errors call the place, and `group` the group of settings that `access` comes from. `connections` are
    kept open at most. `checksums` says when the SDK compares the checksum of an answer.

    Raises ConfigError where the profile is unknown or the endpoint is no address, and BotoCoreError where the
    environment has settings that can't work.
    """
    config = Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"mode": mode, "max_attempts": retries},
        max_pool_connections=connections,
        response_checksum_validation=checksums,
    )
    try:
        core = botocore.session.get_session()
        core.register_component("data_loader", _API)
        session = boto3.session.Session(profile_name=access.profile, region_name=access.region, botocore_session=core)
        return session.client("s3", endpoint_url=access.endpoint_url, config=config)
    except ProfileNotFound as error:
        setting = f"`{group}.profile`" if access.profile else "the variable AWS_PROFILE"
        raise ConfigError(
            f"{where}: no AWS profile {error.kwargs['profile']!r} on this machine; correct {setting}, or add it to"
            " ~/.aws/config"
        ) from None
    except ValueError:
        setting = f"`{group}.endpoint_url`" if access.endpoint_url else "the variable AWS_ENDPOINT_URL"
        raise ConfigError(f"{where}: {setting} must be http(s)://host[:port]") from None


def pages(client: S3Client, **place: Any) -> Iterator[ListObjectsV2OutputTypeDef]:
    """Yield the pages of a listing; `place` says of what, as the SDK's `list_objects_v2` takes it.

    Raises what the SDK raises, and IncompleteAnswerError where an answer is no page, or where it says that there is
    more and not how to ask for it: a listing that ends too early would read as everything else deleted.
    """
    for page in client.get_paginator("list_objects_v2").paginate(**place):
        if not any(name in page for name in _OF_A_LISTING):
            raise IncompleteAnswerError(what="an answer to ListObjectsV2 is no listing")
        yield page
        if page.get("IsTruncated") and not page.get("NextContinuationToken"):
            raise IncompleteAnswerError(what="a page of ListObjectsV2 says that there is more, and not where")


def required(answer: Mapping[str, Any], name: str) -> Any:
    """Return what is called `name` in an answer. Raises IncompleteAnswerError where it isn't there."""
    if name not in answer:
        raise IncompleteAnswerError(what=f"an answer has no {name}")
    return answer[name]


def shown_endpoint(url: str | None) -> str:
    """Return an endpoint without the credentials that it may have."""
    if url is None:
        return "AWS's own endpoint"
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
