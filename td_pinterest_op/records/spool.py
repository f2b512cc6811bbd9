"""Sort and deduplicate digests, or byte strings that begin with a digest, through a temporary file: the spool.

Digests go into 256 buckets by their first byte, so that repeats are in the same bucket, and memory holds one bucket at
a time. The same digests make the same batches in any order. A plain identifier is never on the disk.
"""

import errno
import hashlib
import secrets
import tempfile
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterator
from itertools import accumulate, chain, count
from struct import iter_unpack

from td_pinterest_op.records.digests import DIGEST_BYTES

BUCKET_COUNT = 256
_MOST_BUFFERED_BYTES = 4 << 20  # in memory between two writes: 16 KB to a bucket's next segment


class NamelessTemporaryFile:
    """A temporary file, without a name where the system allows that. `close` deletes it.

    `encrypted`: True for data other than digests; the key is in this process's memory only.
    """

    def __init__(self, *, encrypted: bool = False) -> None:
        # Unbuffered: segments are large, and an error comes from the write that caused it, not from a later flush.
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  closed by close()
        self.close = self._file.close
        self._key = secrets.token_bytes(32) if encrypted else b""
        self._writes: dict[int, int] = {}  # if encrypted: the number of the last write at each offset
        self._numbers = count()

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write `data` from byte `offset` on."""
        if self._key and data:  # after an empty write, another one begins at the same offset
            self._writes[offset] = next(self._numbers)
            data = self._encrypt_or_decrypt(offset, data)
        self._file.seek(offset)
        left = memoryview(data)
        while left:  # a write may be partial; on a full disk the next one raises
            left = left[self._file.write(left) :]

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`. In an encrypted file, a write must have begun there."""
        self._file.seek(offset)
        data = self._file.read(length)
        if len(data) != length:
            raise OSError(errno.EIO, "the temporary file is incomplete")
        return self._encrypt_or_decrypt(offset, data) if self._key else data

    def _encrypt_or_decrypt(self, offset: int, data: bytes | bytearray | memoryview) -> bytes:
        # SHAKE-128 of a secret key and a number that each write has for itself. The standard library has no cipher, and
        # the packages that have one are not pure Python.
        stream = hashlib.shake_128(self._key + self._writes[offset].to_bytes(8, "big")).digest(len(data))
        return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")


class DigestBuckets:
    """Collects digests in a temporary file, in buckets. A bucket's number is the first byte of its digests.

    `width`: the bytes of a digest and what follows it. `buffered_bytes`: how many are in memory and not yet written.
    All methods but `close` may raise OSError; after that only `close` works. For one thread only.
    """

    def __init__(self, width: int = DIGEST_BYTES, *, encrypted: bool = False) -> None:
        self.width = width
        self._file = NamelessTemporaryFile(encrypted=encrypted)
        self.close = self._file.close
        self._buffers: list[bytearray] = [bytearray() for _ in range(BUCKET_COUNT)]
        self.buffered_bytes = 0
        self._segment_offsets: list[array[int]] = []  # for each write: where each bucket's segment begins, and the end
        self._end = 0

    def add(self, digests: Collection[bytes]) -> None:
        """Add digests in memory. Write them to the file once there are many."""
        buffers = self._buffers
        for digest in digests:
            buffers[digest[0]] += digest
        self.buffered_bytes += len(digests) * self.width
        if self.buffered_bytes >= _MOST_BUFFERED_BYTES:
            self.write_buffers()

    def write_buffers(self) -> None:
        """Write buffered digests to the file. Raises ValueError if a digest's length is wrong."""
        offsets = array("Q", accumulate(map(len, self._buffers), initial=self._end))
        # The last check before anything is on the disk: a string of another length could be a person's value.
        if offsets[-1] - self._end != self.buffered_bytes:
            raise ValueError(f"a digest in the temporary file must have {self.width} bytes")
        for offset, buffer in zip(offsets, self._buffers, strict=False):
            self._file.write(offset, buffer)
            buffer.clear()
        self._segment_offsets.append(offsets)
        self._end = offsets[-1]
        self.buffered_bytes = 0

    def finish(self) -> None:
        """Write buffered digests to the file. None can be added afterwards."""
        self.write_buffers()
        self._buffers = []

    def read_joined_digests(self, bucket: int, first_count: int | None = None) -> Iterator[bytes]:
        """Yield a bucket's digests, or the first `first_count`, many joined in each byte string."""
        left = self._end if first_count is None else first_count * self.width
        for offset, length in self._find_segments(bucket):
            if left:
                data = self._file.read(offset, min(length, left))
                left -= len(data)
                yield data

    def _find_segments(self, bucket: int) -> Iterator[tuple[int, int]]:
        for offsets in self._segment_offsets:
            if length := offsets[bucket + 1] - offsets[bucket]:
                yield offsets[bucket], length


class Spool(DigestBuckets):
    """Digest buckets that `finish` sorts and clears of repeats. `unique_count`: how many digests are left then."""

    unique_count = 0
    _unique_counts: list[int]  # by bucket; set by `finish`

    def finish(self) -> None:
        """Sort the digests in the file and drop repeats."""
        super().finish()
        self._unique_counts = []
        for bucket in range(BUCKET_COUNT):
            segments = self.read_joined_digests(bucket)
            digests = set(chain.from_iterable(split_by_width(segment, self.width) for segment in segments))
            # Many short sorts cost half of one long one.
            by_second_byte: defaultdict[int, list[bytes]] = defaultdict(list)
            for digest in digests:
                by_second_byte[digest[1]].append(digest)
            ordered = chain.from_iterable(sorted(by_second_byte[byte]) for byte in sorted(by_second_byte))
            data = memoryview(b"".join(ordered))
            self._unique_counts.append(len(data) // self.width)
            for offset, length in self._find_segments(bucket):
                self._file.write(offset, data[:length])
                data = data[length:]
        self.unique_count = sum(self._unique_counts)

    def read_sorted_chunks(self) -> Iterator[bytes]:
        """Yield all unique digests in ascending order, many joined in each byte string."""
        return chain.from_iterable(map(self.read_joined_digests, range(BUCKET_COUNT), self._unique_counts))

    def read_sorted_buckets(self) -> Iterator[Iterator[bytes]]:
        """Yield an iterator of each bucket's unique digests, in ascending order."""
        for bucket, unique_count in enumerate(self._unique_counts):
            yield split_by_width(b"".join(self.read_joined_digests(bucket, unique_count)), self.width)


def split_by_width(data: bytes | bytearray, width: int = DIGEST_BYTES) -> Iterator[bytes]:
    """Return an iterator over the byte strings of `width` bytes that are joined in `data`."""
    return chain.from_iterable(iter_unpack(f"{width}s", data))
