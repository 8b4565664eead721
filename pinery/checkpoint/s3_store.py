"""State under an S3 prefix: conditional writes, ranged reads, and a local cache of immutable files."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import urlsplit

from pinery.checkpoint.cache import StateCache
from pinery.checkpoint.checksums import check_file
from pinery.checkpoint.state_file import state_id
from pinery.checkpoint.store import ConflictError
from pinery.config import CACHE_BYTES, S3StateSettings
from pinery.errors import AccessDeniedError, ConfigError, DamagedError, TerminalError, TransientError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

DENIED = {"AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "AllAccessDisabled"}
MISSING = {"404", "NoSuchKey", "NotFound"}
CONFLICT = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
UNSUPPORTED = {"NotImplemented", "501"}
ATTEMPTS = 5
READ_AHEAD = 1 << 20
BODY_ATTEMPTS, BODY_PAUSE = 5, 0.1
"""How often a body is asked for whose connection breaks, which the SDK doesn't do; seconds before the second time."""
ONE_PUT_BYTES = 4 << 30
"""S3 takes at most 5 GiB in one PUT."""
CONTENT_KEY = "pinery-sha256"
"""Metadata of an object: the SHA-256 of its content, by which a write whose answer was lost is known."""
NO_ETAG = '"00000000000000000000000000000000"'


class S3Store:
    """State under `s3://bucket/prefix`."""

    def __init__(
        self,
        root: str,
        settings: S3StateSettings,
        cache: Path,
        cache_bytes: int = CACHE_BYTES,
        attempts: int = ATTEMPTS,
    ) -> None:
        """`attempts` is how often the SDK sends one request. Raises ConfigError for an unknown profile."""
        import boto3
        import botocore.exceptions
        from botocore.config import Config as ClientConfig

        parts = urlsplit(root)
        self.root = root.rstrip("/")
        self._bucket = parts.netloc
        self._prefix = parts.path.strip("/")
        self._cache_root, self._cache_bytes = cache, cache_bytes
        self._opened_cache: StateCache | None = None
        self._state: str | None = None
        self._opening = threading.Lock()
        self._conditional = False
        """Whether conditional writes were seen to be honoured."""
        self._unsure: dict[str, str] = {}
        """The SHA-256 of what this store last tried to write under a name, where no answer came."""
        try:
            session = boto3.Session(profile_name=settings.profile, region_name=settings.region)
        except botocore.exceptions.ProfileNotFound as error:
            raise ConfigError(f"state {root}: {error}; set state_s3.profile to one in the AWS config") from error
        retries = cast(Any, {"mode": "standard", "max_attempts": attempts})
        self._s3 = session.client(
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

    def read(self, name: str) -> tuple[bytes, str] | None:
        """See Store."""
        return self._get(name, missing=True)

    def replace(self, name: str, data: bytes, tag: str | None) -> str:
        """See Store. Raises ConfigError where the server doesn't honour conditions."""
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        digest = hashlib.sha256(data).hexdigest()
        try:
            new = self._put(name, data, digest, condition)
        except ConflictError:
            self._conditional = True
            mine = self._tag_if_mine(name, self._unsure.get(name))
            if mine is None:
                raise
            new = self._put(name, data, digest, {"IfMatch": mine})
        if not self._conditional:
            self._prove_conditional(name, data, digest)
        return new

    def write(self, name: str, data: bytes) -> None:
        """See Store."""
        self._put(name, data, hashlib.sha256(data).hexdigest(), {})

    def publish(self, name: str, path: Path) -> None:
        """See Store."""
        with path.open("rb") as body:
            digest = hashlib.file_digest(body, "sha256").hexdigest()
            if path.stat().st_size <= ONE_PUT_BYTES:
                body.seek(0)
                self._put(name, body, digest, {"IfNoneMatch": "*"})
            else:
                self._upload(name, path, digest)
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
        if self._opened_cache is not None:
            self._opened_cache.forget_others(folder, {name: tag.strip('"') for name, tag in found.items()})
        return found

    def delete(self, name: str) -> None:
        """See Store."""
        with self._errors(name):
            self._s3.delete_object(Bucket=self._bucket, Key=self._key(name))

    def open(self, name: str) -> BinaryIO:
        """See Store."""
        size, tag = self._head(name)
        return io.BufferedReader(_Ranges(self, name, size, tag), READ_AHEAD)

    def local(self, name: str) -> Path:
        """See Store. A copy that can't be read is made anew."""
        size, tag = self._head(name)

        def download(handle: BinaryIO) -> None:
            with self._errors(name):
                self._s3.download_fileobj(self._bucket, self._key(name), handle)
            if handle.tell() != size:
                raise TransientError(f"{self.root}/{name} was cut short while it was copied")

        cache = self._cache()
        path = cache.copy(name, tag.strip('"'), download)
        try:
            if name.endswith(".parquet"):
                check_file(path, str(path))
        except DamagedError:
            return cache.copy(name, tag.strip('"'), download, anew=True)
        return path

    def scratch(self, name: str) -> Path:
        """See Store."""
        return self._cache(create=True).scratch(name)

    def cache(self, name: str) -> Path:
        """See Store."""
        return self._cache().derived(name)

    def read_range(self, name: str, start: int, stop: int, tag: str) -> bytes:
        """Bytes `start` to `stop` (exclusive) of a file that still has `tag`."""
        try:
            found = self._get(name, Range=f"bytes={start}-{stop - 1}", IfMatch=tag)
        except ConflictError:
            raise TransientError(f"{self.root}/{name} was replaced while it was read") from None
        assert found is not None
        return found[0]

    def _cache(self, create: bool = False) -> StateCache:
        """This state's folder in the cache; with `create` the state gets its id if it has none."""
        with self._opening:
            if self._state is None:
                where = f"{self._s3.meta.endpoint_url}|{self.root}"
                self._state = state_id(self, create)
                # Before its first run a state has no id, and nothing in it that could be copied.
                name = self._state or f"new-{hashlib.sha256(where.encode()).hexdigest()[:16]}"
                if self._opened_cache is None or self._opened_cache.name != name:
                    self._opened_cache = StateCache(self._cache_root, name, self._cache_bytes)
            assert self._opened_cache is not None
            return self._opened_cache

    def _get(self, name: str, missing: bool = False, **how: str) -> tuple[bytes, str] | None:
        from botocore.exceptions import HTTPClientError
        from urllib3.exceptions import HTTPError

        for attempt in range(BODY_ATTEMPTS):
            with self._errors(name, missing) as outcome:
                answer = self._s3.get_object(Bucket=self._bucket, Key=self._key(name), **cast(Any, how))
                try:
                    outcome["value"] = (answer["Body"].read(), answer["ETag"])
                except (HTTPClientError, HTTPError):
                    if attempt == BODY_ATTEMPTS - 1:
                        raise
                    time.sleep(BODY_PAUSE * 2**attempt)
                    continue
            break
        return cast("tuple[bytes, str] | None", outcome.get("value"))

    def _head(self, name: str) -> tuple[int, str]:
        with self._errors(name) as outcome:
            head = self._s3.head_object(Bucket=self._bucket, Key=self._key(name))
            outcome["value"] = (head["ContentLength"], head["ETag"])
        return cast("tuple[int, str]", outcome["value"])

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}".lstrip("/")

    def _put(self, name: str, body: bytes | BinaryIO, digest: str, condition: dict[str, str]) -> str:
        """Write; return the new ETag. Where the answer is an error, what is there by now decides."""
        try:
            with self._errors(name) as outcome:
                answer = self._s3.put_object(
                    Bucket=self._bucket,
                    Key=self._key(name),
                    Body=body,
                    Metadata={CONTENT_KEY: digest},
                    **cast(Any, condition),
                )
                outcome["value"] = answer["ETag"]
        except (ConflictError, TransientError) as error:
            found = self._tag_if_mine(name, digest)
            if found is None:
                if isinstance(error, TransientError):
                    self._unsure[name] = digest
                raise
            outcome["value"] = found
        self._unsure.pop(name, None)
        return cast(str, outcome["value"])

    def _tag_if_mine(self, name: str, digest: str | None) -> str | None:
        """The ETag of the file under `name` if it has the content of `digest`; None too where that can't be told."""
        if digest is None:
            return None
        with contextlib.suppress(TransientError), self._errors(name, missing=True):
            head = self._s3.head_object(Bucket=self._bucket, Key=self._key(name))
            if head["Metadata"].get(CONTENT_KEY) == digest:
                return head["ETag"]
        return None

    def _prove_conditional(self, name: str, data: bytes, digest: str) -> None:
        """Write the same once more, under conditions that don't hold: both must be refused."""
        for condition in ({"IfNoneMatch": "*"}, {"IfMatch": NO_ETAG}):
            try:
                with self._errors(name):
                    self._s3.put_object(
                        Bucket=self._bucket,
                        Key=self._key(name),
                        Body=data,
                        Metadata={CONTENT_KEY: digest},
                        **cast(Any, condition),
                    )
            except ConflictError:
                continue
            [said] = condition
            raise self._unconditional(f"it took a PUT with {said} for {name}, where that had to be refused")
        self._conditional = True

    def _unconditional(self, why: str) -> ConfigError:
        return ConfigError(
            f"the S3 API at {_shown(self._s3.meta.endpoint_url)} can't hold the state {self.root}: it doesn't honour"
            f" conditional writes ({why}), and two runs at once would overwrite each other's work. Set `state` to a"
            " folder, or to a bucket of AWS or of another server that answers 412"
        )

    def _upload(self, name: str, path: Path, digest: str) -> None:
        # An upload in many requests appears as a whole, but its last request can't be conditional everywhere. One
        # writer holds the lease, so the look and the upload need not be one step.
        folder, _, file = name.rpartition("/")
        if file in self.tags(folder):
            if self._tag_if_mine(name, digest) is None:
                raise ConflictError(f"{self.root}/{name} was written by another run")
            return
        with self._errors(name):
            self._s3.upload_file(
                str(path), self._bucket, self._key(name), ExtraArgs={"Metadata": {CONTENT_KEY: digest}}
            )

    @contextlib.contextmanager
    def _errors(self, name: str, missing: bool = False) -> Iterator[dict[str, Any]]:
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
            return self._unconditional(f"{code} for {name}")
        if code in MISSING:
            return TerminalError(f"{where} does not exist")
        return TransientError(f"{where}: S3 answered {code}")


class _Ranges(io.RawIOBase):
    """An S3 object as a seekable file, one ranged GET a read."""

    def __init__(self, store: S3Store, name: str, size: int, tag: str) -> None:
        self._store, self._name, self._size, self._tag, self._at = store, name, size, tag, 0

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
        data = self._store.read_range(self._name, self._at, stop, self._tag)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _shown(url: str) -> str:
    """The endpoint without what may be a secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))
