"""Objects under an S3 prefix."""

from __future__ import annotations

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

from pinery.config import MAX_FETCH_THREADS, S3Source
from pinery.errors import AccessDeniedError, ConfigError, MovedError, TerminalError, TransientError
from pinery.records import Item
from pinery.sources.metadata import Describer
from pinery.sources.protocol import check_size

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

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
_DENIED = {"ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"}
_BUSY = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequests", "InternalError"}


class S3Prefix:
    """The objects of one bucket under one prefix, which is taken as a folder: `photos` is `photos/`.

    The key of an item is the object's key relative to the prefix.
    """

    def __init__(self, settings: S3Source, retries: int = RETRIES) -> None:
        """`retries` is how often the SDK repeats one request. Raises ConfigError where the settings can't work."""
        self._bucket, _, path = settings.uri.removeprefix("s3://").partition("/")
        self._prefix = path if path.endswith("/") or not path else f"{path}/"
        self._suffixes = tuple(suffix.lower() for suffix in settings.suffixes)
        self._describe = Describer(settings)
        self._where = f"bucket {self._bucket!r} at {_endpoint(settings.endpoint_url)}"
        self._client = self._connect(settings, retries)

    def _connect(self, settings: S3Source, retries: int) -> S3Client:
        config = Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"mode": "adaptive", "max_attempts": retries},
            max_pool_connections=MAX_FETCH_THREADS,  # opened as they are needed; a thread without one would wait
        )
        try:
            session = boto3.session.Session(profile_name=settings.profile, region_name=settings.region)
            return session.client("s3", endpoint_url=settings.endpoint_url, config=config)
        except ProfileNotFound:
            raise ConfigError(
                f"{self._where}: no AWS profile {settings.profile!r} on this machine; "
                "correct `source.profile`, or add it to ~/.aws/config"
            ) from None
        except ValueError:
            raise ConfigError(f"{self._where}: `source.endpoint_url` must be http(s)://host[:port]") from None
        except BotoCoreError as error:
            self._fail(error)

    def check(self) -> None:
        """Ask for one key. Raises ConfigError, AccessDeniedError, TransientError naming bucket and endpoint."""
        try:
            self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._prefix, MaxKeys=1)
        except (ClientError, BotoCoreError) as error:
            self._fail(error)

    def list_items(self) -> Iterator[Item]:
        """Every object with one of the suffixes, in the order of S3. Raises as `check` does."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        try:
            for page in pages:
                for found in page.get("Contents", ()):
                    if not found["Key"].endswith("/") and self._has_suffix(found["Key"]):
                        yield self._item(found)
        except (ClientError, BotoCoreError) as error:
            self._fail(error)

    def _has_suffix(self, key: str) -> bool:
        return not self._suffixes or key.lower().endswith(self._suffixes)

    def _item(self, found: ObjectTypeDef) -> Item:
        id, metadata = self._describe(found["Key"][len(self._prefix) :])
        return Item(id, f"s3://{self._bucket}/{found['Key']}", found["ETag"].strip('"'), found["Size"], metadata)

    def fetch(self, uri: str, version: str, max_bytes: int) -> bytes:
        """The object's bytes; see `Source.fetch`."""
        key = uri.removeprefix(f"s3://{self._bucket}/")
        if key == uri:
            raise MovedError(f"{uri} is not in {self._where}")
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=key, IfMatch=f'"{version}"')
            with found["Body"] as body:
                check_size(found["ContentLength"], max_bytes)
                return body.read()
        except ClientError as error:
            _check_moved(error, uri)
            self._fail(error, f" ({uri})")
        except (BotoCoreError, BodyError) as error:
            self._fail(error, f" ({uri})")

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
            raise ConfigError(f"{self._where}: S3 allows no such bucket name; correct `source.uri`") from None
        if isinstance(error, _DISCONNECTED):
            raise TransientError(f"{self._where}: the connection failed ({name}){item}") from None
        raise TerminalError(f"{self._where}: {name}{item}") from None

    def _fail_by_answer(self, error: ClientError, item: str) -> NoReturn:
        status, code = _answer(error)
        said = f"{error.operation_name} was answered {status} {code}{item}"
        if code == "NoSuchBucket" or (status == 404 and error.operation_name.startswith("List")):
            raise ConfigError(f"{self._where} does not exist; correct `source.uri` or `source.endpoint_url`") from None
        if code == "InvalidObjectState":
            raise AccessDeniedError(f"{self._where}: {said}: an archived object; restore it, or list another prefix")
        if status in (401, 403) or code in _DENIED:
            raise AccessDeniedError(
                f"{self._where}: {said}; the credentials need s3:ListBucket and s3:GetObject there"
            ) from None
        if status >= 500 or status in (408, 429) or code in _BUSY:
            raise TransientError(f"{self._where}: {said}") from None
        raise TerminalError(f"{self._where}: {said}") from None


def _check_moved(error: ClientError, uri: str) -> None:
    status, code = _answer(error)
    if status == 412:
        raise MovedError(f"{uri} changed since it was listed") from None
    if status == 404 and code != "NoSuchBucket":
        raise MovedError(f"{uri} is no longer there") from None


def _answer(error: ClientError) -> tuple[int, str]:
    response: Any = error.response
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)), str(response["Error"].get("Code", ""))


def _endpoint(url: str | None) -> str:
    """The endpoint without what may be a secret in it."""
    if url is None:
        return "AWS's own endpoint"
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
