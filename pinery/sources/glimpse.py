"""A glimpse of a source before there is a config for it: some of its images, and what lies between them."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from pinery.errors import AccessDeniedError, ConfigError
from pinery.source_kinds import FolderSource, S3Source
from pinery.sources.folder import Folder
from pinery.sources.selection import HIDDEN, UNREADABLE, LeftOut, Selection, suffix_of
from pinery.sources.walk import LINKS, is_inside

if TYPE_CHECKING:
    from pinery.sources.bucket import Bucket

ENOUGH = 500
"""The images that a glimpse takes at most."""
A_TURN = 8
"""The files that are taken of one folder before the next has its turn, so that many folders are seen."""
FOLDERS, KEYS = 20, 50
"""The folders of a prefix that S3 is asked about, and the keys of each."""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Some images of a source, by their keys."""

    keys: tuple[str, ...]
    left_out: LeftOut
    """The number of files that are no images for Pinery, by kind, as far as was looked."""
    complete: bool
    """True where these are all images that there are."""

    def suffixes(self) -> dict[str, int]:
        """Return the number of images by suffix, the commonest first."""
        return dict(Counter(suffix_of(key) for key in self.keys).most_common())


def glimpse_folder(settings: FolderSource) -> Glimpse:
    """Return some images of a folder. Raises ConfigError where it doesn't exist, is none or may not be read."""
    try:
        Folder(settings).check()
    except AccessDeniedError as error:
        raise ConfigError(str(error)) from None
    left_out = LeftOut()
    keys = list(islice(_images(os.path.realpath(settings.path), Selection(settings), left_out), ENOUGH + 1))
    return Glimpse(tuple(keys[:ENOUGH]), left_out, len(keys) <= ENOUGH)


def _images(root: str, select: Selection, left_out: LeftOut) -> Iterator[str]:
    """Yield the keys of images, some of each folder in turn."""
    waiting = deque([_entries(root, left_out)])
    while waiting:
        folder = waiting.popleft()
        turn = list(islice(folder, A_TURN))
        for entry in turn:
            key = entry.path[len(root.rstrip(os.sep)) + 1 :]
            is_folder = entry.is_dir(follow_symlinks=False)
            kind = select.leaves_out_folder(key) if is_folder else _leaves_out(key, select)
            if entry.is_symlink() and not is_inside(os.path.realpath(entry.path), root):
                kind = LINKS
            if kind is not None:
                left_out.count(kind)
            elif is_folder:
                waiting.append(_entries(entry.path, left_out))
            elif entry.is_file():
                yield key
        if turn:
            waiting.append(folder)


def _leaves_out(key: str, select: Selection) -> str | None:
    """Return the kind of a file that is no image, or can't be decoded by this installation; None for an image."""
    return select.leaves_out(key) or select.undecoded(key) or None


def _entries(folder: str, left_out: LeftOut) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        left_out.count(UNREADABLE)
        return
    yield from found


def glimpse_s3(settings: S3Source) -> Glimpse:
    """Return some images of a prefix, by few requests. Raises ConfigError, AccessDeniedError, TransientError."""
    from pinery.sources.bucket import Bucket  # brings boto3, which a folder needn't wait for

    name, _, path = settings.uri.removeprefix("s3://").partition("/")
    prefix = f"{path.rstrip('/')}/" if path.rstrip("/") else ""
    bucket, select, left_out = Bucket(name, settings, "source.uri"), Selection(settings), LeftOut()
    page = _page(bucket, prefix, Delimiter="/")
    below = [one["Prefix"] for one in page.get("CommonPrefixes", ())]
    pages = [page, *(_page(bucket, one, MaxKeys=KEYS) for one in below[:FOLDERS])]
    images = []
    for key in (one["Key"][len(prefix) :] for page in pages for one in page.get("Contents", ())):
        if not key or key.endswith("/"):
            continue
        hidden = any(part.startswith(".") for part in key.split("/"))
        if kind := HIDDEN if hidden else _leaves_out(key, select):
            left_out.count(kind)
        else:
            images.append(key)
    complete = len(images) <= ENOUGH and len(below) <= FOLDERS and not any(one["IsTruncated"] for one in pages)
    return Glimpse(tuple(images[:ENOUGH]), left_out, complete)


def _page(bucket: Bucket, prefix: str, **how: Any) -> Any:
    with bucket.errors():
        return bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=prefix, **how)
