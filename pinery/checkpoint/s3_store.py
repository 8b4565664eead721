"""State under an S3 prefix: conditional writes, ranged reads, and a local cache of immutable files."""

from __future__ import annotations

import contextlib
import io
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import urlsplit

from pinery.checkpoint.store import ConflictError
from pinery.config import S3StateSettings
from pinery.errors import AccessDeniedError, ConfigError, TerminalError, TransientError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

DENIED = {"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "AllAccessDisabled"}
MISSING = {"404", "NoSuchKey", "NotFound"}
CONFLICT = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
READ_AHEAD = 1 << 20
ONE_PUT_BYTES = 4 << 30
"""S3 takes at most 5 GiB in one PUT."""
WRITER_KEY = "pinery-write"


class S3Store:
    """State under `s3://bucket/prefix`."""

    def __init__(self, root: str, settings: S3StateSettings, cache: Path) -> None:
        import boto3
        import botocore.exceptions
        from botocore.config import Config as ClientConfig

        parts = urlsplit(root)
        self.root = root.rstrip("/")
        self._bucket = parts.netloc
        self._prefix = parts.path.strip("/")
        self._cache = cache
        try:
            session = boto3.Session(profile_name=settings.profile, region_name=settings.region)
        except botocore.exceptions.ProfileNotFound as error:
            raise ConfigError(f"state {root}: {error}; set state_s3.profile to one in the AWS config") from error
        retries = cast(Any, {"mode": "standard", "max_attempts": 5})
        self._s3 = session.client(
            "s3",
            endpoint_url=settings.endpoint_url,
            config=ClientConfig(connect_timeout=5, read_timeout=30, retries=retries, max_pool_connections=32),
        )

    def read(self, name: str) -> tuple[bytes, str] | None:
        """See Store."""
        with self._errors(name, missing=True) as outcome:
            answer = self._s3.get_object(Bucket=self._bucket, Key=self._key(name))
            outcome["value"] = (answer["Body"].read(), answer["ETag"])
        return cast("tuple[bytes, str] | None", outcome.get("value"))

    def replace(self, name: str, data: bytes, tag: str | None) -> str:
        """See Store."""
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        return self._put(name, data, condition)

    def write(self, name: str, data: bytes) -> None:
        """See Store."""
        self._put(name, data, {})

    def publish(self, name: str, path: Path) -> None:
        """See Store."""
        if path.stat().st_size > ONE_PUT_BYTES:
            self._upload(name, path)
        else:
            with path.open("rb") as body:
                self._put(name, body, {"IfNoneMatch": "*"})
        path.unlink()

    def names(self, folder: str) -> list[str]:
        """See Store."""
        return sorted(self.tags(folder))

    def tags(self, folder: str) -> dict[str, str]:
        """See Store."""
        prefix = self._key(folder) + "/"
        found: dict[str, str] = {}
        with self._errors(folder):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix, Delimiter="/"
            )
            for page in pages:
                found |= {entry["Key"].removeprefix(prefix): entry["ETag"] for entry in page.get("Contents", [])}
        found.pop("", None)
        return found

    def delete(self, name: str) -> None:
        """See Store."""
        with self._errors(name):
            self._s3.delete_object(Bucket=self._bucket, Key=self._key(name))

    def open(self, name: str) -> BinaryIO:
        """See Store."""
        with self._errors(name):
            head = self._s3.head_object(Bucket=self._bucket, Key=self._key(name))
        return io.BufferedReader(_Ranges(self, name, head["ContentLength"]), READ_AHEAD)

    def local(self, name: str) -> Path:
        """See Store."""
        with self._errors(name):
            tag = self._s3.head_object(Bucket=self._bucket, Key=self._key(name))["ETag"].strip('"')
        # By content: a state that was deleted and begun anew gives old names to other files.
        path = self._cache / "files" / f"{name}.{tag}"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
            with self._errors(name), temporary.open("wb") as handle:
                self._s3.download_fileobj(self._bucket, self._key(name), handle)
            temporary.replace(path)
        return path

    def scratch(self, name: str) -> Path:
        """See Store."""
        return _made(self._cache / "scratch" / name)

    def cache(self, name: str) -> Path:
        """See Store."""
        return _made(self._cache / "derived" / name)

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` (exclusive) of a file."""
        with self._errors(name) as outcome:
            answer = self._s3.get_object(Bucket=self._bucket, Key=self._key(name), Range=f"bytes={start}-{stop - 1}")
            outcome["value"] = answer["Body"].read()
        return cast(bytes, outcome["value"])

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}".lstrip("/")

    def _put(self, name: str, body: bytes | BinaryIO, condition: dict[str, str]) -> str:
        # The SDK retries a PUT whose answer was lost; the first attempt may have been the one that wrote.
        # Our own mark on the object tells that case from another writer's.
        mark = uuid.uuid4().hex
        try:
            with self._errors(name) as outcome:
                answer = self._s3.put_object(
                    Bucket=self._bucket,
                    Key=self._key(name),
                    Body=body,
                    Metadata={WRITER_KEY: mark},
                    **cast(Any, condition),
                )
                outcome["value"] = answer["ETag"]
        except ConflictError:
            with self._errors(name, missing=True) as outcome:
                head = self._s3.head_object(Bucket=self._bucket, Key=self._key(name))
                if head["Metadata"].get(WRITER_KEY) == mark:
                    outcome["value"] = head["ETag"]
            if "value" not in outcome:
                raise
        return cast(str, outcome["value"])

    def _upload(self, name: str, path: Path) -> None:
        # An upload in many requests appears as a whole, but its last request can't be conditional everywhere. One
        # writer holds the lease, so the look and the upload need not be one step.
        folder, _, file = name.rpartition("/")
        if file in self.tags(folder):
            raise ConflictError(f"{self.root}/{name} was written by another run")
        with self._errors(name):
            self._s3.upload_file(str(path), self._bucket, self._key(name))

    @contextlib.contextmanager
    def _errors(self, name: str, missing: bool = False) -> Iterator[dict[str, Any]]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

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
        except (BotoCoreError, Boto3Error) as error:
            raise TransientError(f"{self.root}/{name}: {error}") from error

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
        if code in MISSING:
            return TerminalError(f"{where} does not exist")
        return TransientError(f"{where}: S3 answered {code}")


class _Ranges(io.RawIOBase):
    """An S3 object as a seekable file, one ranged GET a read."""

    def __init__(self, store: S3Store, name: str, size: int) -> None:
        self._store, self._name, self._size, self._at = store, name, size, 0

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
        data = self._store.read_range(self._name, self._at, stop)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
