"""A bucket that images or a sidecar are read from: how it is reached, and what its errors mean for a run."""

import contextlib
from collections.abc import Iterator

from pinery import s3
from pinery.errors import (
    AccessDeniedError,
    ConfigError,
    ItemDeniedError,
    MovedError,
    PineryError,
    TerminalError,
    TransientError,
)
from pinery.run_settings import MAX_FETCH_THREADS
from pinery.s3 import Fault
from pinery.settings import S3Access


class Bucket:
    """One bucket at an endpoint. `client` is boto3's; `errors` makes Pinery's errors of what it raises."""

    def __init__(self, name: str, access: S3Access, setting: str, retries: int = s3.RETRIES) -> None:
        """Connect to nothing yet; `setting` names the bucket in a config.

        `retries` is how often the SDK repeats one request. Raises ConfigError where the settings can't work.
        """
        self.name, self._setting = name, setting
        self._where = f"bucket {name!r} at {s3.shown_endpoint(access.endpoint_url)}"
        with self.errors():
            # Connections are opened as they are needed, and a thread without one would wait.
            self.client = s3.connect(
                access, self._where, "source", retries=retries, mode="adaptive", connections=MAX_FETCH_THREADS
            )

    @contextlib.contextmanager
    def errors(self, uri: str = "", listed: bool = False) -> Iterator[None]:
        """Raise what the SDK raises inside as an error of Pinery; `uri` names the object that a request is about.

        A bucket that is gone after the object was `listed` may come back.

        Raises MovedError where the object changed or is gone, ItemDeniedError where access to this object alone is
        denied, ConfigError, AccessDeniedError, TransientError, TerminalError.
        """
        try:
            yield
        except s3.ERRORS as error:
            raise self._translated(error, uri, listed) from None

    def _translated(self, error: Exception, uri: str, listed: bool) -> PineryError:
        fault, status, name = s3.meaning(error)
        operation = getattr(error, "operation_name", "")
        answer = f"{operation} was answered {status} {name}" + (f" ({uri})" if uri else "")
        match fault:
            case Fault.CONFLICT if uri:
                return MovedError(f"{uri} changed since it was listed")
            case Fault.MISSING if uri:
                return MovedError(f"{uri} is no longer there")
            case Fault.NO_BUCKET if listed:
                return TransientError(f"{self._where} went away while its objects were read")
            case Fault.NO_BUCKET:
                return ConfigError(f"{self._where} does not exist; correct `{self._setting}` or the endpoint")
            case Fault.BAD_NAME:
                return ConfigError(f"{self._where}: S3 allows no such bucket name; correct `{self._setting}`")
            case Fault.NO_CREDENTIALS:
                return AccessDeniedError(
                    f"{self._where}: no usable AWS credentials ({name}); set AWS_ACCESS_KEY_ID and"
                    " AWS_SECRET_ACCESS_KEY, or `source.profile`"
                )
            case Fault.ARCHIVED:
                return ItemDeniedError(
                    f"{self._where}: {answer}: an archived object; restore it, then `retry_quarantined`"
                )
            case Fault.DENIED | Fault.BAD_CREDENTIALS:
                kind = ItemDeniedError if uri and fault is Fault.DENIED else AccessDeniedError
                return kind(f"{self._where}: {answer}; the credentials need s3:ListBucket and s3:GetObject there")
            case Fault.DISCONNECTED:
                return TransientError(f"{self._where}: the connection failed ({name})" + (f" ({uri})" if uri else ""))
            case Fault.FOREIGN:
                about = f" ({uri})" if uri else ""
                return TransientError(f"{self._where}: what answered may not be S3, or not all of it: {name}{about}")
            case Fault.PASSING | Fault.UNSUPPORTED:
                return TransientError(f"{self._where}: {answer}")
        return TerminalError(f"{self._where}: {answer if status else name}")
