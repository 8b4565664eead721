"""Weights in a bucket: their bytes, and what the bucket's errors mean for whoever waits for them."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from pinery import s3
from pinery.download import CHUNK
from pinery.errors import AccessDeniedError, ConfigError, TransientError
from pinery.s3 import Fault, Meaning
from pinery.settings import S3Access


def s3_chunks(address: str, shown: str) -> Iterator[bytes]:
    """Yield the bytes of the weights at `address`, which messages call `shown`.

    Raises AccessDeniedError, ConfigError, TransientError.
    """
    parts = urlsplit(address)
    try:
        client = s3.connect(S3Access(), shown, "")
        body = client.get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))["Body"]
        yield from body.iter_chunks(CHUNK)
    except s3.ERRORS as error:
        raise _refused(shown, s3.meaning(error)) from None


def _refused(shown: str, meaning: Meaning) -> Exception:
    fault, status, name = meaning
    match fault:
        case Fault.NO_CREDENTIALS:
            return AccessDeniedError(f"no usable AWS credentials for {shown} ({name}); set them as boto3 expects")
        case Fault.DENIED | Fault.BAD_CREDENTIALS:
            return AccessDeniedError(f"access to {shown} is denied ({name})")
        case Fault.MISSING | Fault.NO_BUCKET:
            return ConfigError(f"there are no weights at {shown} ({name})")
        case Fault.PASSING | Fault.UNSUPPORTED:
            return TransientError(f"{shown} answered {name}; try again")
    if 400 <= status < 500 or fault is Fault.BAD_NAME:
        return ConfigError(f"{shown} refuses the request ({name})")
    return TransientError(f"{shown} did not deliver the weights ({name}); try again")
