"""What S3 is asked for a state, and what its answers mean: requests, errors as Pinery's own, files read by ranges."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from pinery.config import S3StateSettings
from pinery.errors import AccessDeniedError, ConfigError, ConflictError, TerminalError, TransientError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

DENIED = {"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "AllAccessDisabled"}
MISSING = {"404", "NoSuchKey", "NotFound"}
CONFLICT = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
UNSUPPORTED = {"NotImplemented", "501"}
BODY_ATTEMPTS, BODY_PAUSE = 5, 0.1
"""How often a body is asked for whose connection breaks, which the SDK doesn't do; seconds before the second time."""


class S3Api:
    """The objects under `s3://bucket/prefix`, by their names below it."""

    def __init__(self, root: str, settings: S3StateSettings, attempts: int) -> None:
        """`attempts` is how often the SDK sends one request. Raises ConfigError for an unknown profile."""
        import boto3
        import botocore.exceptions
        from botocore.config import Config as ClientConfig

        parts = urlsplit(root)
        self.root = root.rstrip("/")
        self.bucket = parts.netloc
        self._prefix = parts.path.strip("/")
        try:
            session = boto3.Session(profile_name=settings.profile, region_name=settings.region)
        except botocore.exceptions.ProfileNotFound as error:
            raise ConfigError(f"state {root}: {error}; set state_s3.profile to one in the AWS config") from error
        retries = cast(Any, {"mode": "standard", "max_attempts": attempts})
        self.client = session.client(
            "s3",
            endpoint_url=settings.endpoint_url,
            config=ClientConfig(
                connect_timeout=5,
                read_timeout=30,
                retries=retries,
                max_pool_connections=32,
                # Some servers answer a range with the whole object's checksum; Pinery's files have their own.
                response_checksum_validation="when_required",
            ),
        )

    @property
    def endpoint(self) -> str:
        """Where requests go."""
        return str(self.client.meta.endpoint_url)

    def key(self, name: str) -> str:
        """The object's key."""
        return f"{self._prefix}/{name}".lstrip("/")

    def get(self, name: str, missing: bool = False, **how: str) -> tuple[bytes, str] | None:
        """An object's bytes and ETag; None where it is `missing` and may be. `how` goes with the request."""
        from botocore.exceptions import HTTPClientError
        from urllib3.exceptions import HTTPError

        for attempt in range(BODY_ATTEMPTS):
            with self.errors(name, missing) as outcome:
                answer = self.client.get_object(Bucket=self.bucket, Key=self.key(name), **cast(Any, how))
                try:
                    outcome["value"] = (answer["Body"].read(), answer["ETag"])
                except (HTTPClientError, HTTPError):
                    if attempt == BODY_ATTEMPTS - 1:
                        raise
                    time.sleep(BODY_PAUSE * 2**attempt)
                    continue
            break
        return cast("tuple[bytes, str] | None", outcome.get("value"))

    def head(self, name: str) -> tuple[int, str]:
        """An object's bytes in number, and its ETag."""
        with self.errors(name) as outcome:
            head = self.client.head_object(Bucket=self.bucket, Key=self.key(name))
            outcome["value"] = (head["ContentLength"], head["ETag"])
        return cast("tuple[int, str]", outcome["value"])

    def read_range(self, name: str, start: int, stop: int, tag: str) -> bytes:
        """Bytes `start` to `stop` (exclusive) of a file that still has `tag`."""
        try:
            found = self.get(name, Range=f"bytes={start}-{stop - 1}", IfMatch=tag)
        except ConflictError:
            raise TransientError(f"{self.root}/{name} was replaced while it was read") from None
        assert found is not None
        return found[0]

    @contextlib.contextmanager
    def errors(self, name: str, missing: bool = False) -> Iterator[dict[str, Any]]:
        """Raise what S3 answers inside as errors of Pinery that name the file; pass over a `missing` one if told to."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError, NoCredentialsError
        from urllib3.exceptions import HTTPError

        outcome: dict[str, Any] = {}
        try:
            yield outcome
        except ClientError as error:
            if missing and _code(error) in MISSING:
                return
            raise self._translate(name, error) from error
        except NoCredentialsError as error:
            raise AccessDeniedError(
                f"no AWS credentials for {self.root}; set AWS_ACCESS_KEY_ID or a profile"
            ) from error
        except FlexibleChecksumError as error:
            raise TransientError(
                f"{self.root}/{name}: {error}. If the server always says so, it sends the whole object's checksum with"
                " a range: set AWS_RESPONSE_CHECKSUM_VALIDATION=when_required"
            ) from error
        except (BotoCoreError, Boto3Error, HTTPError) as error:
            raise TransientError(f"{self.root}/{name}: {error}") from error

    def unconditional(self, why: str) -> ConfigError:
        """The error that says that this server can't hold a state."""
        return ConfigError(
            f"the S3 API at {_shown(self.client.meta.endpoint_url)} can't hold the state {self.root}: it doesn't honour"
            f" conditional writes ({why}), and two runs at once would overwrite each other's work. Set `state` to a"
            " folder, or to a bucket of AWS or of another server that answers 412"
        )

    def _translate(self, name: str, error: ClientError) -> Exception:
        code = _code(error)
        where = f"{self.root}/{name}"
        if code == "NoSuchBucket":
            return ConfigError(f"the bucket of state {self.root} does not exist; create it or correct `state`")
        if code in DENIED:
            return AccessDeniedError(
                f"access to {where} is denied ({code}); check the credentials and the bucket's policy"
            )
        if code in CONFLICT:
            return ConflictError(f"{where} was written by another run")
        if code in UNSUPPORTED:
            return self.unconditional(f"{code} for {name}")
        if code in MISSING:
            return TerminalError(f"{where} does not exist")
        return TransientError(f"{where}: S3 answered {code}")


class Ranges(io.RawIOBase):
    """An S3 object as a seekable file, one ranged GET a read."""

    def __init__(self, api: S3Api, name: str, size: int, tag: str) -> None:
        self._api, self._name, self._size, self._tag, self._at = api, name, size, tag, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (0 if whence == os.SEEK_SET else self._at if whence == os.SEEK_CUR else self._size)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        stop = min(self._at + len(buffer), self._size)
        if stop <= self._at:
            return 0
        data = self._api.read_range(self._name, self._at, stop, self._tag)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _shown(url: str) -> str:
    """The endpoint without what may be a secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
