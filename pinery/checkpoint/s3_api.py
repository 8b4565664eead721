"""The requests to S3 for a state: their errors become Pinery's own, and files can be read by ranges."""

import contextlib
import io
import os
import time
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import urlsplit

from botocore.exceptions import FlexibleChecksumError

from pinery import s3
from pinery.errors import AccessDeniedError, ConfigError, ConflictError, TerminalError, TransientError
from pinery.s3 import Fault
from pinery.settings import S3Access

BODY_ATTEMPTS, BODY_PAUSE = 5, 0.1
"""The attempts to read a body whose connection breaks, which the SDK doesn't repeat; seconds before the second one."""

PIECE_BYTES = 1 << 30
"""Bytes of a piece of a copy; S3 takes 5 GiB at most."""


class S3Api:
    """The objects under `s3://bucket/prefix`, by their names below it."""

    def __init__(self, root: str, access: S3Access, retries: int) -> None:
        """Connect to nothing yet; `retries` is how often the SDK repeats one request.

        Raises ConfigError where the settings can't work.
        """
        parts = urlsplit(root)
        self.root = root.rstrip("/")
        self.bucket = parts.netloc
        self._prefix = parts.path.strip("/")
        with self.errors(""):
            # Some servers answer a range with the whole object's checksum; Pinery's files have their own.
            self.client = s3.connect(access, f"state {root}", "state_s3", retries=retries, checksums="when_required")

    @property
    def endpoint(self) -> str:
        """The URL that requests go to."""
        return str(self.client.meta.endpoint_url)

    def key(self, name: str) -> str:
        """Return the object's key."""
        return f"{self._prefix}/{name}".lstrip("/")

    def get(self, name: str, missing: bool = False, **how: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and ETag; None where it is missing, if `missing` allows that.

        `how` is added to the request.
        """
        for attempt in range(BODY_ATTEMPTS):
            with self.errors(name, missing) as outcome:
                answer = self.client.get_object(Bucket=self.bucket, Key=self.key(name), **cast(Any, how))
                try:
                    outcome["value"] = (answer["Body"].read(), s3.required(answer, "ETag"))
                except s3.BODY_ERRORS:
                    if attempt == BODY_ATTEMPTS - 1:
                        raise
                    time.sleep(BODY_PAUSE * 2**attempt)
                    continue
            break
        return cast("tuple[bytes, str] | None", outcome.get("value"))

    def head(self, name: str) -> tuple[int, str]:
        """Return an object's size in bytes and its ETag."""
        with self.errors(name) as outcome:
            head = self.client.head_object(Bucket=self.bucket, Key=self.key(name))
            outcome["value"] = (s3.required(head, "ContentLength"), s3.required(head, "ETag"))
        return cast("tuple[int, str]", outcome["value"])

    def read_range(self, name: str, start: int, stop: int, tag: str) -> bytes:
        """Return the bytes `start` to `stop` (exclusive) of a file that still has `tag`."""
        try:
            found = self.get(name, Range=f"bytes={start}-{stop - 1}", IfMatch=tag)
        except ConflictError:
            raise TransientError(f"{self.root}/{name} was replaced while it was read") from None
        assert found is not None
        data = found[0]
        return data if len(data) <= stop - start else data[start:stop]  # some servers send all of an object

    def copy(self, name: str, to: str, metadata: dict[str, str]) -> None:
        """Have S3 copy an object, without its bytes coming here. Raises ConflictError where `to` is taken.

        It is an upload whose pieces are copied: its last request may have a condition, by which the object appears as a
        whole or not at all. A plain copy may have none on many servers, and with older versions of the SDK.
        """
        place: Any = {"Bucket": self.bucket, "Key": self.key(to)}
        with self.errors(to):
            upload = self.client.create_multipart_upload(**place, Metadata=metadata)["UploadId"]
            try:
                pieces = self._copy_pieces(name, place, upload)
                self.client.complete_multipart_upload(
                    **place, UploadId=upload, MultipartUpload={"Parts": pieces}, IfNoneMatch="*"
                )
            except BaseException:
                with contextlib.suppress(*s3.ERRORS):
                    self.client.abort_multipart_upload(**place, UploadId=upload)
                raise

    def _copy_pieces(self, name: str, place: Any, upload: str) -> list[Any]:
        size, tag = self.head(name)
        pieces = []
        for number, start in enumerate(range(0, size, PIECE_BYTES), 1):
            answer = self.client.upload_part_copy(
                **place,
                UploadId=upload,
                PartNumber=number,
                CopySource={"Bucket": self.bucket, "Key": self.key(name)},
                CopySourceRange=f"bytes={start}-{min(size, start + PIECE_BYTES) - 1}",
                CopySourceIfMatch=tag,
            )
            pieces.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
        return pieces

    @contextlib.contextmanager
    def errors(self, name: str, missing: bool = False) -> Iterator[dict[str, Any]]:
        """Raise what S3 answers inside as errors of Pinery that name the file; a `missing` file may be no error."""
        outcome: dict[str, Any] = {}
        try:
            yield outcome
        except s3.ERRORS as error:
            if missing and s3.meaning(error).fault is Fault.MISSING:
                return
            raise self._translated(name, error) from error

    def unconditional(self, why: str) -> ConfigError:
        """Return the error that says that this server can't hold a state."""
        return ConfigError(
            f"the S3 API at {s3.shown_endpoint(self.endpoint)} can't hold the state {self.root}: it doesn't honour"
            f" conditional writes ({why}), and two runs at once would overwrite each other's work. Set `state` to a"
            " folder, or to a bucket of AWS or of another server that answers 412"
        )

    def _translated(self, name: str, error: Exception) -> Exception:
        fault, status, code = s3.meaning(error)
        where = f"{self.root}/{name}"
        match fault:
            case Fault.NO_BUCKET | Fault.BAD_NAME:
                return ConfigError(f"the bucket of state {self.root} does not exist; create it or correct `state`")
            case Fault.NO_CREDENTIALS:
                return AccessDeniedError(
                    f"no usable AWS credentials for {self.root} ({code}); set AWS_ACCESS_KEY_ID or a profile"
                )
            case Fault.DENIED | Fault.BAD_CREDENTIALS:
                return AccessDeniedError(
                    f"access to {where} is denied ({code}); check the credentials and the bucket's policy"
                )
            case Fault.CONFLICT:
                return ConflictError(f"{where} was written by another run")
            case Fault.UNSUPPORTED:
                return self.unconditional(f"{code} for {name}")
            case Fault.MISSING:
                return TerminalError(f"{where} does not exist")
        if isinstance(error, FlexibleChecksumError):
            return TransientError(
                f"{where}: {error}. If the server always says so, it sends the whole object's checksum with a range:"
                " set AWS_RESPONSE_CHECKSUM_VALIDATION=when_required"
            )
        return TransientError(f"{where}: S3 answered {code}" if status else f"{where}: {error}")


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
