"""Rows with several keys → unique rows → batches, by way of a private temporary file.

As in `spool`, rows go into 256 buckets, so that repeats meet in the same bucket and memory holds one bucket at a time.
An external id is not a digest: the file is therefore encrypted with a key that exists in this process's memory only.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from zlib import crc32

from td_pinterest_op.records.rows import count_keys
from td_pinterest_op.records.spool_file import SpoolFile

_BUCKETS = 256
_BUFFERED_BYTES = 8 << 20  # in memory between two writes
_LENGTH_BYTES = 2  # before each row in the file; a row is at most 1 + 3 × 32 + 4 × 256 bytes
# A batch of rows is longer than one of digests: its request stays below this many bytes, as the rows are in the spool
# (about half of their length as JSON).
_MAX_BATCH_BYTES = 2 << 20


class RowSpool:
    """Takes rows (see `rows`) until it is finished, then gives them back, each once, as batches. A context manager.

    Its file is gone with `close`; when the file fails with an OSError, only `close` works after that.
    """

    def __init__(self) -> None:
        self._file = SpoolFile()
        self._key = secrets.token_bytes(32)
        self._buffers: list[list[bytes]] = [[] for _ in range(_BUCKETS)]
        self._buffered_bytes = 0
        self._segments: list[list[tuple[int, int]]] = [[] for _ in range(_BUCKETS)]  # offset and length
        self._end = 0
        self._added = 0
        self.unique = 0
        self.keys = 0
        self.fingerprint = ""

    def __enter__(self) -> RowSpool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Frees memory and file. May be called again."""
        self._file.close()
        self._buffers, self._segments = [], []

    def add(self, rows: Sequence[bytes]) -> None:
        """Takes rows. Raises OSError."""
        for row in rows:
            self._buffers[crc32(row) % _BUCKETS].append(row)
        self._added += len(rows)
        self._buffered_bytes += sum(map(len, rows))
        if self._buffered_bytes >= _BUFFERED_BYTES:
            self._write_buffers()

    def finish(self) -> None:
        """Counts the unique rows and their keys. Raises OSError."""
        self._write_buffers()
        digest = hashlib.sha256()
        for rows in self._unique_rows():
            self.unique += len(rows)
            self.keys += sum(map(count_keys, rows))
            digest.update(b"".join(map(_framed, rows)))
        self.fingerprint = digest.hexdigest()[:8]

    @property
    def duplicate(self) -> int:
        """Rows that were there already."""
        return self._added - self.unique

    def batches(self, size: int) -> Iterator[list[bytes]]:
        """Unique rows, `size` at a time or fewer where they are long. Every call starts anew and gives the same."""
        batch: list[bytes] = []
        length = 0
        for rows in self._unique_rows():
            for row in rows:
                if len(batch) == size or (batch and length + len(row) > _MAX_BATCH_BYTES):
                    yield batch
                    batch, length = [], 0
                batch.append(row)
                length += len(row)
        if batch:
            yield batch

    def _unique_rows(self) -> Iterator[list[bytes]]:
        # Sorted, so that the same rows give the same batches and fingerprint, in whatever order they came.
        return (sorted({*self._stored(bucket)}) for bucket in range(_BUCKETS))

    def _write_buffers(self) -> None:
        for rows, segments in zip(self._buffers, self._segments, strict=True):
            data = b"".join(map(_framed, rows))
            if data:
                self._file.write(self._end, self._encrypted(data, self._end))
                segments.append((self._end, len(data)))
                self._end += len(data)
                rows.clear()
        self._buffered_bytes = 0

    def _stored(self, bucket: int) -> Iterator[bytes]:
        for offset, length in self._segments[bucket]:
            yield from _rows(self._encrypted(self._file.read(offset, length), offset))

    def _encrypted(self, data: bytes, offset: int) -> bytes:
        """The data of one segment under a keystream of its own; the same call decrypts it."""
        # SHAKE-256 of a secret key and an offset that is written once. The standard library has no cipher, and the
        # packages that have one are not pure Python.
        stream = hashlib.shake_256(self._key + offset.to_bytes(8, "big")).digest(len(data))
        both = int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")
        return both.to_bytes(len(data), "big")


def _framed(row: bytes) -> bytes:
    return len(row).to_bytes(_LENGTH_BYTES, "big") + row


def _rows(data: bytes) -> Iterable[bytes]:
    start = 0
    while start < len(data):
        end = start + _LENGTH_BYTES + int.from_bytes(data[start : start + _LENGTH_BYTES], "big")
        yield data[start + _LENGTH_BYTES : end]
        start = end
