"""State under an S3 prefix: conditional writes, ranged reads, and a local cache of immutable files."""

import contextlib
import hashlib
import io
import threading
from pathlib import Path
from typing import Any, BinaryIO, cast

from pinery.checkpoint.cache import StateCache
from pinery.checkpoint.s3_api import Ranges, S3Api
from pinery.checkpoint.state_file import state_id
from pinery.config import CACHE_BYTES
from pinery.errors import ConflictError, DamagedError, TransientError
from pinery.parquet.checksums import check_file
from pinery.s3 import RETRIES, pages, required
from pinery.settings import S3Access

READ_AHEAD = 1 << 20
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
        access: S3Access,
        cache: Path,
        cache_bytes: int = CACHE_BYTES,
        retries: int = RETRIES,
    ) -> None:
        """Connect to nothing yet; the SDK repeats a request `retries` times. Raises ConfigError for bad settings."""
        self.root = root.rstrip("/")
        self._cache_root, self._cache_bytes = cache, cache_bytes
        self._opened_cache: StateCache | None = None
        self._state: str | None = None
        self._opening = threading.Lock()
        self._conditional = False
        """True once the server was seen to honour conditional writes."""
        self._unsure: dict[str, str] = {}
        """The SHA-256 of what this store last tried to write under a name, where no answer came."""
        self._api = S3Api(root, access, retries)

    def read(self, name: str) -> tuple[bytes, str] | None:
        """See Store."""
        return self._api.get(name, missing=True)

    def replace(self, name: str, data: bytes, tag: str | None) -> str:
        """See Store. Raises ConfigError where the server doesn't honour conditions."""
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        digest = hashlib.sha256(data).hexdigest()
        try:
            new = self._put(name, data, digest, condition)
        except ConflictError:
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

    def move(self, name: str, to: str) -> None:
        """See Store. S3 copies the bytes itself."""
        with self._api.errors(name) as outcome:
            head = self._api.client.head_object(Bucket=self._api.bucket, Key=self._api.key(name))
            outcome["value"] = head["Metadata"].get(CONTENT_KEY, "")
        digest = cast(str, outcome["value"])
        if self._taken(to):
            if self._tag_if_mine(to, digest) is None:
                raise ConflictError(f"{self.root}/{to} was written by another run")
        else:
            self._copy(name, to, digest)
        self.delete(name)

    def names(self, folder: str) -> list[str]:
        """See Store."""
        return sorted(self.tags(folder))

    def tags(self, folder: str) -> dict[str, str]:
        """See Store."""
        found = {name: tag for name, (tag, _) in self._listed(folder)[0].items()}
        if self._opened_cache is not None:
            self._opened_cache.forget_others(folder, {name: tag.strip('"') for name, tag in found.items()})
        return found

    def sizes(self, folder: str) -> dict[str, int]:
        """See Store."""
        return {name: size for name, (_, size) in self._listed(folder)[0].items()}

    def folders(self, folder: str) -> list[str]:
        """See Store."""
        return self._listed(folder)[1]

    def _listed(self, folder: str) -> tuple[dict[str, tuple[str, int]], list[str]]:
        """Return the files directly in `folder`, by name with ETag and bytes, and the names of its folders, sorted."""
        prefix = self._api.key(folder) + "/"
        files, folders = dict[str, tuple[str, int]](), set[str]()
        with self._api.errors(folder):
            for page in pages(self._api.client, Bucket=self._api.bucket, Prefix=prefix, Delimiter="/"):
                for entry in page.get("Contents", []):
                    files[entry["Key"].removeprefix(prefix)] = (required(entry, "ETag"), required(entry, "Size"))
                folders |= {one["Prefix"].removeprefix(prefix).rstrip("/") for one in page.get("CommonPrefixes", [])}
        files.pop("", None)
        return files, sorted(folders - {""})

    def delete(self, name: str) -> None:
        """See Store."""
        with self._api.errors(name):
            self._api.client.delete_object(Bucket=self._api.bucket, Key=self._api.key(name))

    def clear(self, folder: str) -> None:
        """See Store."""
        for name in self.tags(folder):
            self.delete(f"{folder}/{name}")

    def open(self, name: str) -> BinaryIO:
        """See Store."""
        size, tag = self._api.head(name)
        return io.BufferedReader(Ranges(self._api, name, size, tag), READ_AHEAD)

    def local(self, name: str) -> Path:
        """See Store. A copy that can't be read is made anew."""
        size, tag = self._api.head(name)

        def download(handle: BinaryIO) -> None:
            with self._api.errors(name):
                self._api.client.download_fileobj(self._api.bucket, self._api.key(name), handle)
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

    def _cache(self, create: bool = False) -> StateCache:
        """Return this state's folder in the cache; with `create`, a state that has no id gets one."""
        with self._opening:
            if self._state is None:
                where = f"{self._api.endpoint}|{self.root}"
                self._state = state_id(self, create)
                # Before its first run a state has no id, and nothing in it that could be copied.
                name = self._state or f"new-{hashlib.sha256(where.encode()).hexdigest()[:16]}"
                if self._opened_cache is None or self._opened_cache.name != name:
                    self._opened_cache = StateCache(self._cache_root, name, self._cache_bytes)
            assert self._opened_cache is not None
            return self._opened_cache

    def _put(self, name: str, body: bytes | BinaryIO, digest: str, condition: dict[str, str]) -> str:
        """Write a file and return its new ETag; after an error, what is there decides whether it was written."""
        try:
            with self._api.errors(name) as outcome:
                answer = self._api.client.put_object(
                    Bucket=self._api.bucket,
                    Key=self._api.key(name),
                    Body=body,
                    Metadata={CONTENT_KEY: digest},
                    **cast(Any, condition),
                )
                outcome["value"] = required(answer, "ETag")
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
        """Return the ETag of the file `name` if its content has this SHA-256; None if not, or if nobody knows."""
        if digest is None:
            return None
        with contextlib.suppress(TransientError), self._api.errors(name, missing=True):
            head = self._api.client.head_object(Bucket=self._api.bucket, Key=self._api.key(name))
            if head["Metadata"].get(CONTENT_KEY) == digest:
                return cast(str, required(head, "ETag"))
        return None

    def _prove_conditional(self, name: str, data: bytes, digest: str) -> None:
        """Write the same file under two conditions that don't hold. Raises ConfigError unless both are refused."""
        for condition in ({"IfNoneMatch": "*"}, {"IfMatch": NO_ETAG}):
            try:
                with self._api.errors(name):
                    self._api.client.put_object(
                        Bucket=self._api.bucket,
                        Key=self._api.key(name),
                        Body=data,
                        Metadata={CONTENT_KEY: digest},
                        **cast(Any, condition),
                    )
            except ConflictError:
                continue
            [said] = condition
            raise self._api.unconditional(f"it took a PUT with {said} for {name}, where that had to be refused")
        self._conditional = True

    def _copy(self, name: str, to: str, digest: str) -> None:
        """Have S3 copy a file; after an error, what is there decides whether it did."""
        try:
            self._api.copy(name, to, {CONTENT_KEY: digest})
        except (ConflictError, TransientError):
            if self._tag_if_mine(to, digest) is None:
                raise

    def _taken(self, name: str) -> bool:
        folder, _, file = name.rpartition("/")
        return file in self.tags(folder)

    def _upload(self, name: str, path: Path, digest: str) -> None:
        # An upload in many requests appears as a whole, but its last request can't be conditional everywhere. One
        # writer holds the lease, so the look and the upload need not be one step.
        if self._taken(name):
            if self._tag_if_mine(name, digest) is None:
                raise ConflictError(f"{self.root}/{name} was written by another run")
            return
        with self._api.errors(name):
            self._api.client.upload_file(
                str(path), self._api.bucket, self._api.key(name), ExtraArgs={"Metadata": {CONTENT_KEY: digest}}
            )
