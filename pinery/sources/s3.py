"""Objects under an S3 prefix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from pinery.errors import MovedError
from pinery.s3 import RETRIES, pages, required
from pinery.source_kinds import S3Source
from pinery.sources.bucket import Bucket
from pinery.sources.found import Found
from pinery.sources.lister import Lister
from pinery.sources.metadata import Describer
from pinery.sources.protocol import Fetched, NoPast, Past, check_size, read_each
from pinery.sources.selection import HIDDEN, LeftOut, Selection

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectTypeDef

ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
"""Storage classes of objects that can't be read before they are restored."""


class S3Prefix:
    """The objects of one bucket under one prefix, which is taken as a folder: `photos` is `photos/`.

    The key of an item is the object's key without the prefix; its version is the object's ETag. What is hidden in a
    folder is hidden here too: names and folders that begin with a dot.
    """

    def __init__(self, settings: S3Source, past: Past | None = None, retries: int = RETRIES) -> None:
        """Connect to nothing yet; `retries` is how often the SDK repeats one request.

        Raises ConfigError where the settings can't work.
        """
        name, _, path = settings.uri.removeprefix("s3://").partition("/")
        self._prefix = path if path.endswith("/") or not path else f"{path}/"
        self._bucket = Bucket(name, settings, "source.uri", retries)
        self._select = Selection(settings)
        self._describe = Describer(settings, self._prefix)
        self._lister = Lister(self._describe, past or NoPast())

    @property
    def left_out(self) -> LeftOut:
        """See Source."""
        return self._lister.left_out

    def remarks(self) -> list[str]:
        """See Source."""
        return self._describe.remarks()

    def check(self) -> None:
        """Ask for one key. Raises ConfigError, AccessDeniedError, TransientError naming bucket and endpoint."""
        with self._bucket.errors():
            self._bucket.client.list_objects_v2(Bucket=self._bucket.name, Prefix=self._prefix, MaxKeys=1)

    def list_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield every object that the settings select, in the order of S3; see Source. Raises as `check` does."""
        return self._lister.batches(self._found())

    def _found(self) -> Iterator[Found]:
        with self._bucket.errors():
            for found in self._objects():
                key = found["Key"][len(self._prefix) :]
                if not key or key.endswith("/"):
                    continue
                if kind := self._leaves_out(key):
                    self.left_out.count(kind)
                    continue
                uri, version = f"s3://{self._bucket.name}/{found['Key']}", required(found, "ETag").strip('"')
                unread = _archived(found) or self._select.undecoded(key)
                yield Found(key, uri, version, required(found, "Size"), unread=unread)

    def _objects(self) -> Iterator[ObjectTypeDef]:
        """Yield each object once: pages of some servers overlap where keys are written meanwhile."""
        before = set[str]()
        for page in pages(
            self._bucket.client,
            Bucket=self._bucket.name,
            Prefix=self._prefix,
            OptionalObjectAttributes=["RestoreStatus"],  # of archived objects; other servers don't know it
        ):
            found = {required(one, "Key"): one for one in page.get("Contents", ())}
            yield from (one for key, one in found.items() if key not in before)
            before = set(found)

    def _leaves_out(self, key: str) -> str | None:
        folders = key.split("/")[:-1]
        if any(folder.startswith(".") for folder in folders):
            return HIDDEN
        return self._select.leaves_out(key)

    def read(self, items: Sequence[tuple[str, str]], max_bytes: int) -> list[Fetched]:
        """See Source."""
        return read_each(self.fetch, items, max_bytes)

    def fetch(self, uri: str, version: str, max_bytes: int) -> bytes:
        """Return the object's bytes; see `Source.fetch`."""
        key = uri.removeprefix(f"s3://{self._bucket.name}/")
        if key == uri:
            raise MovedError(f"{uri} is not in bucket {self._bucket.name!r}")
        with self._bucket.errors(uri, listed=True):
            found = self._bucket.client.get_object(Bucket=self._bucket.name, Key=key, IfMatch=f'"{version}"')
            with found["Body"] as body:
                # Some servers ignore the condition.
                if required(found, "ETag").strip('"') != version:
                    raise MovedError(f"{uri} changed since it was listed")
                check_size(required(found, "ContentLength"), max_bytes)
                return body.read()


def _archived(found: ObjectTypeDef) -> str:
    """Return the kind of an object that can't be read before it is restored, or an empty text."""
    kind, restored = found.get("StorageClass", ""), found.get("RestoreStatus", {})
    return f"archived ({kind})" if kind in ARCHIVES and "RestoreExpiryDate" not in restored else ""
