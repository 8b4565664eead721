"""A bucket of an S3 API: how it is reached, and what its errors mean."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import boto3
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
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.exceptions import ConnectionError as EndpointError
from urllib3.exceptions import HTTPError as BodyError

from pinery.config import MAX_FETCH_THREADS
from pinery.errors import AccessDeniedError, ConfigError, ItemDeniedError, MovedError, TerminalError, TransientError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

CONNECT_TIMEOUT = 5
READ_TIMEOUT = 30
RETRIES = 5

_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    NoAuthTokenError,
    TokenRetrievalError,
    SSOError,
    LoginError,
)
_DISCONNECTED = (HTTPClientError, EndpointError, IncompleteReadError, FlexibleChecksumError, BodyError)
_CREDENTIALS = {"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
_DENIED = {*_CREDENTIALS, "AccessDenied"}
_BUSY = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequests", "InternalError"}


class Bucket:
    """One bucket at an endpoint. `client` is boto3's; `errors` makes Pinery's errors of what it raises."""

    def __init__(
        self, name: str, endpoint_url: str | None, region: str | None, profile: str | None, setting: str, retries: int
    ) -> None:
        """`setting` names the bucket in a config; `retries` is how often the SDK repeats one request.

        Raises ConfigError where the settings can't work.
        """
        self.name, self._setting = name, setting
        self._where = f"bucket {name!r} at {_endpoint(endpoint_url)}"
        self.client = self._connect(endpoint_url, region, profile, retries)

    @contextlib.contextmanager
    def errors(self, uri: str = "", listed: bool = False) -> Iterator[None]:
        """Within: what the SDK raises becomes MovedError for an object that changed or is gone, or one of the errors.

        A bucket that is gone after the object was `listed` may come back.

        Raises ConfigError, AccessDeniedError, ItemDeniedError for `uri` alone, TransientError, TerminalError.
        """
        item = f" ({uri})" if uri else ""
        try:
            yield
        except ClientError as error:
            if uri:
                self._check_moved(error, uri, listed)
            self._fail(error, item)
        except (BotoCoreError, BodyError) as error:
            self._fail(error, item)

    def _connect(self, endpoint_url: str | None, region: str | None, profile: str | None, retries: int) -> S3Client:
        config = Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"mode": "adaptive", "max_attempts": retries},
            max_pool_connections=MAX_FETCH_THREADS,  # opened as they are needed; a thread without one would wait
        )
        try:
            session = boto3.session.Session(profile_name=profile, region_name=region)
            return session.client("s3", endpoint_url=endpoint_url, config=config)
        except ProfileNotFound:
            raise ConfigError(
                f"{self._where}: no AWS profile {profile!r} on this machine; "
                "correct `source.profile`, or add it to ~/.aws/config"
            ) from None
        except ValueError:
            raise ConfigError(f"{self._where}: `source.endpoint_url` must be http(s)://host[:port]") from None
        except BotoCoreError as error:
            self._fail(error)

    def _check_moved(self, error: ClientError, uri: str, listed: bool) -> None:
        status, code = _answer(error)
        if code == "NoSuchBucket":
            if listed:
                raise TransientError(f"{self._where} went away while its objects were read") from None
            return
        if status == 412:
            raise MovedError(f"{uri} changed since it was listed") from None
        if status == 404:
            raise MovedError(f"{uri} is no longer there") from None

    def _fail(self, error: ClientError | BotoCoreError | BodyError, item: str = "") -> NoReturn:
        # Only names and codes: texts of the SDK may hold URLs, and a URL may hold a password.
        if isinstance(error, ClientError):
            self._fail_by_answer(error, item)
        name = type(error).__name__
        if isinstance(error, _NO_CREDENTIALS):
            raise AccessDeniedError(
                f"{self._where}: no usable AWS credentials ({name}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or `source.profile`"
            ) from None
        if isinstance(error, ParamValidationError):
            raise ConfigError(f"{self._where}: S3 allows no such bucket name; correct `{self._setting}`") from None
        if isinstance(error, _DISCONNECTED):
            raise TransientError(f"{self._where}: the connection failed ({name}){item}") from None
        raise TerminalError(f"{self._where}: {name}{item}") from None

    def _fail_by_answer(self, error: ClientError, item: str) -> NoReturn:
        status, code = _answer(error)
        said = f"{error.operation_name} was answered {status} {code}{item}"
        if code == "NoSuchBucket" or (status == 404 and error.operation_name.startswith("List")):
            raise ConfigError(f"{self._where} does not exist; correct `{self._setting}` or the endpoint") from None
        if code == "InvalidObjectState":
            raise ItemDeniedError(f"{self._where}: {said}: an archived object; restore it, then `retry_quarantined`")
        if status in (401, 403) or code in _DENIED:
            kind = ItemDeniedError if item and status == 403 and code not in _CREDENTIALS else AccessDeniedError
            raise kind(f"{self._where}: {said}; the credentials need s3:ListBucket and s3:GetObject there") from None
        if status >= 500 or status in (408, 429) or code in _BUSY:
            raise TransientError(f"{self._where}: {said}") from None
        raise TerminalError(f"{self._where}: {said}") from None


def _answer(error: ClientError) -> tuple[int, str]:
    response: Any = error.response
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)), str(response["Error"].get("Code", ""))


def _endpoint(url: str | None) -> str:
    """The endpoint without what may be a secret in it."""
    if url is None:
        return "AWS's own endpoint"
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
