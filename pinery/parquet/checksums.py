"""Checksums of all bytes of a Parquet file, kept inside it, and a reader that believes no byte without them.

Parquet's own page checksums cover the contents of pages only. A flipped bit in a page's header, in the footer or in a
statistic is read as if it were right, and DuckDB checks none at all. So a file of the state carries, between its last
page and its footer, where the format allows foreign bytes:

    starts (uint64 each) · sums (uint32 each) · count (uint32) · sum of all this and of the footer (uint32) · MARK

A sum is the CRC-32 of the bytes from one start to the next; a start is that of a column chunk, the first one is 0.
Numbers are little-endian. The footer says that there are sums (NOTE), so that they can't get lost unnoticed. A file
with neither mark nor note was written by an earlier version, and is read as it is.
"""

import io
import os
import struct
import zlib
from bisect import bisect_right
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pinery.errors import TerminalError
from pinery.parquet.damage import damaged

MARK = bytes.fromhex("f1 c5 50 69 6e 65 72 79 5f 73 75 6d 73 5f 31 8e")
NOTE = {"pinery.checksums": "1"}
"""Metadata of the schema, and so of the footer, of each file that gets checksums."""
NOTE_BYTES = next(iter(NOTE)).encode()
MAGIC = b"PAR1"
FIXED = 8 + len(MARK)
"""The number of bytes between the sums and the footer: those of the count, the sum and the mark."""
TAIL = 64 << 10
"""The number of bytes that are read from a file's end at first, which is what pyarrow itself reads."""
BLOCK = 4 << 20


def add_checksums(path: Path) -> None:
    """Put the checksums of a finished Parquet file into it."""
    starts = sorted({0, *_chunk_starts(pq.read_metadata(path), None)} - {4})
    with path.open("r+b") as file:
        file.seek(-8, os.SEEK_END)
        end = file.tell() - _number(file.read(4), 0)
        sums = [_sum_of_range(file, start, stop) for start, stop in zip(starts, [*starts[1:], end], strict=True)]
        file.seek(end)
        footer = file.read()
        table = struct.pack(f"<{len(starts)}Q{len(sums)}II", *starts, *sums, len(sums))
        file.seek(end)
        file.write(table + struct.pack("<I", zlib.crc32(footer, zlib.crc32(table))) + MARK + footer)


def check_file(path: Path, where: str, columns: Collection[str] | None = None) -> None:
    """Check a local Parquet file, or only what readers of `columns` see of it; `where` is its name in messages.

    Raises DamagedError where it isn't what was written, TerminalError where it is gone.
    """
    try:
        source = path.open("rb")
    except FileNotFoundError:
        raise TerminalError(f"{where} does not exist") from None
    with source:
        CheckedFile(source, where).check(columns)


class CheckedFile(io.RawIOBase):
    """A Parquet file for random access, of which every byte is checked before it is handed out.

    At most one column chunk is in memory. Reading raises DamagedError.
    """

    def __init__(self, source: BinaryIO, where: str) -> None:
        self._source, self._where, self._at = source, where, 0
        self._size = source.seek(0, os.SEEK_END)
        self._tail = self._footer = b""
        self._starts: list[int] = []
        self._sums: list[int] = []
        self._last: tuple[int, bytes] = (-1, b"")
        self._read_tail()

    @property
    def has_checksums(self) -> bool:
        """True where the file was written with checksums."""
        return bool(self._starts)

    def check(self, columns: Collection[str] | None) -> None:
        """Check all that readers of `columns` see, or all there is. Raises DamagedError."""
        starts = self._starts
        if columns is not None or not self.has_checksums:
            starts = _chunk_starts(self.metadata(), columns)
        if self.has_checksums:
            for number in sorted({bisect_right(self._starts, start) - 1 for start in starts}):
                self._chunk(number)

    def metadata(self) -> pq.FileMetaData:
        """Return the metadata in the footer. Raises DamagedError."""
        # Left to itself, pyarrow reads far more of the file's end than the footer.
        alone: Any = pa.BufferReader(MAGIC + self._footer) if self._footer else self
        self.seek(0)
        try:
            return pq.read_metadata(alone)
        except (pa.ArrowException, OSError) as error:
            raise damaged(self._where, str(error).partition("\n")[0]) from error

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next `size` bytes, or all that are left; only at the file's end are they fewer."""
        stop = self._size if size is None or size < 0 else min(self._at + size, self._size)
        pieces = []
        while self._at < stop:
            pieces.append(self._piece(stop))
            self._at += len(pieces[-1])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readinto(self, buffer: Any, /) -> int:
        """See io.RawIOBase."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """See io.RawIOBase."""
        self._at = offset + (0 if whence == os.SEEK_SET else self._at if whence == os.SEEK_CUR else self._size)
        return self._at

    def tell(self) -> int:
        """See io.RawIOBase."""
        return self._at

    def readable(self) -> bool:
        """See io.RawIOBase."""
        return True

    def seekable(self) -> bool:
        """See io.RawIOBase."""
        return True

    def close(self) -> None:
        """Close the file beneath as well."""
        if not self.closed:
            self._source.close()
        super().close()

    def _piece(self, stop: int) -> bytes:
        """Return checked bytes that begin where the reader is and end at `stop` at the latest."""
        begin = self._size - len(self._tail)
        if not self.has_checksums:
            return self._source_bytes(self._at, stop)
        if self._at >= begin:
            return self._tail[self._at - begin : stop - begin]
        number = bisect_right(self._starts, self._at) - 1
        start, chunk = self._starts[number], self._chunk(number)
        whole = self._at == start and stop - start == len(chunk)
        return chunk if whole else chunk[self._at - start : stop - start]

    def _chunk(self, number: int) -> bytes:
        if self._last[0] != number:
            bounds = [*self._starts[number : number + 2], self._size - len(self._tail)]
            data = self._source_bytes(bounds[0], bounds[1])
            if zlib.crc32(data) != self._sums[number]:
                raise damaged(self._where, f"bytes {bounds[0]:,} to {bounds[1]:,} are not what was written")
            self._last = (number, data)
        return self._last[1]

    def _source_bytes(self, start: int, stop: int) -> bytes:
        self._source.seek(start)
        data = self._source.read(stop - start)
        if len(data) < stop - start:
            raise damaged(self._where, f"it ends after {start + len(data):,} bytes, while it is read")
        return data

    def _read_tail(self) -> None:
        """Read the footer and the checksums before it; what lies after the last column chunk is kept."""
        tail = self._source_bytes(max(0, self._size - TAIL), self._size)
        if self._size < 12 or tail[-4:] != MAGIC:
            raise damaged(self._where, "it doesn't end as a Parquet file does" if self._size else "it is empty")
        footer = _number(tail, len(tail) - 8) + 8
        if 2 * footer + FIXED > len(tail):  # a long one; its sums are never as long
            tail = self._source_bytes(max(0, self._size - 2 * footer - FIXED), self._size)
        if MARK not in tail and NOTE_BYTES not in tail[-footer:]:
            return
        fixed = len(tail) - footer - FIXED
        count = _number(tail, fixed) if fixed >= 0 else 0
        begin = fixed - 12 * count
        if begin < 0 or tail[fixed + 8 : fixed + FIXED] != MARK:
            raise damaged(self._where, "its end is not what was written")
        if zlib.crc32(tail[fixed + FIXED :], zlib.crc32(tail[begin : fixed + 4])) != _number(tail, fixed + 4):
            raise damaged(self._where, "its footer is not what was written")
        self._starts = list(struct.unpack_from(f"<{count}Q", tail, begin))
        self._sums = list(struct.unpack_from(f"<{count}I", tail, begin + 8 * count))
        self._tail, self._footer = tail[begin:], tail[-footer:]


def _number(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


def _sum_of_range(file: BinaryIO, start: int, stop: int) -> int:
    file.seek(start)
    total = 0
    while start < stop:
        block = file.read(min(BLOCK, stop - start))
        total, start = zlib.crc32(block, total), start + len(block)
    return total


def _chunk_starts(metadata: pq.FileMetaData, columns: Collection[str] | None) -> list[int]:
    """Return the positions where column chunks begin: all of them, or those of the top-level `columns`."""
    starts = []
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for number in range(metadata.num_columns):
            chunk = row_group.column(number)
            if columns is None or chunk.path_in_schema.partition(".")[0] in columns:
                pages = (chunk.dictionary_page_offset if chunk.has_dictionary_page else None, chunk.data_page_offset)
                starts.append(min(page for page in pages if page is not None))
    return starts
