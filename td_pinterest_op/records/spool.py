"""Sort and deduplicate digests, or strings that begin with one, through a private temporary file.

Digests go into 256 buckets by their first byte, so that repeats are in the same bucket, and memory holds one bucket at
a time. `finish` sorts each bucket and drops its repeats: the same digests make the same batches, in whatever order they
come. On disk: 32 bytes a digest, never a plain identifier.
"""

import abc
import hashlib
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate, chain, compress, islice
from operator import ne
from struct import Struct
from typing import TypeVar

from td_pinterest_op.records.batch import Digests
from td_pinterest_op.records.digests import DIGEST_BYTES
from td_pinterest_op.records.spool_file import SpoolFile

_S = TypeVar("_S", bound="_StringFile")

BUCKETS = 256
_INCOMING_DIGESTS = 1 << 13  # as objects, before they are packed: a processor's cache holds that many
_BUFFERED_BYTES = 4 << 20  # in memory between two writes: 16 KB to a bucket's next segment
_CROWD = 1 << 7  # incoming digests of a bucket: four times its share, so that many may be repeats
_SORTED_DIGESTS = 1 << 14  # as objects while a bucket is sorted; a larger bucket is split first
# Of a bucket that is split, before its repeats are dropped: a 256th of 67 million different digests is less.
_SPLIT_BYTES = 8 << 20

_CHUNK_BYTES = 1 << 18  # read or written at once
_FEW_DIGESTS = 1 << 10  # of a bucket that is sorted at once, without 256 lists


class _StringFile:
    """A private file of strings of `width` bytes. `encrypted`: see `SpoolFile`. A context manager."""

    def __init__(self, width: int = DIGEST_BYTES, *, encrypted: bool = False) -> None:
        self.width = width
        self._file = SpoolFile(encrypted=encrypted)

    def __enter__(self: _S) -> _S:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free memory and file. May be called again."""
        self._file.close()


class SortedDigests(_StringFile, abc.ABC):
    """Digests in ascending order, each once."""

    @property
    @abc.abstractmethod
    def unique_count(self) -> int:
        """The number of digests."""

    @abc.abstractmethod
    def chunks(self) -> Iterator[bytes]:
        """Yield all digests in ascending order, in strings of any length. Raises OSError."""

    @property
    def fingerprint(self) -> str:
        """Eight hex digits, the same for the same digests. Raises OSError."""
        return fingerprint(self.chunks())

    def count_batches(self, size: int) -> int:
        """Return the number of batches of up to `size` digests."""
        return math.ceil(self.unique_count / size)

    def batches(self, size: int) -> Iterator[Digests]:
        """Yield the digests, `size` at a time: all batches but the last are full. Raises OSError.

        Every call starts again and yields the same.
        """
        return map(Digests, regroup(self.chunks(), size * self.width))


class SortedFile(SortedDigests):
    """A file of digests that are added in ascending order."""

    _length = 0

    def append(self, data: bytes) -> None:
        """Add one or more digests as one string. Raises OSError."""
        self._file.write(self._length, data)
        self._length += len(data)

    @property
    def unique_count(self) -> int:
        """The number of digests."""
        return self._length // self.width

    def chunks(self) -> Iterator[bytes]:
        """Yield all digests, in strings of any length. Raises OSError."""
        for start in range(0, self._length, _CHUNK_BYTES):
            yield self._file.read(start, min(_CHUNK_BYTES, self._length - start))


class Buckets(_StringFile):
    """Collects digests. Once it is finished, it yields the digests of each first byte together.

    `width`: the bytes of each, if more follow the digest. After an OSError only `close` works. For one thread only.
    """

    def __init__(self, width: int = DIGEST_BYTES, *, encrypted: bool = False) -> None:
        super().__init__(width, encrypted=encrypted)
        self._incoming: list[list[bytes]] = [[] for _ in range(BUCKETS)]
        self._buffers: list[bytearray] = [bytearray() for _ in range(BUCKETS)]
        self._incoming_count = self._buffered_count = 0
        self._segment_offsets: list[array[int]] = []  # for each write: where each bucket's segment begins, and the end
        self._end = 0

    def close(self) -> None:
        """Free memory and file. May be called again."""
        super().close()
        self._incoming, self._buffers, self._segment_offsets = [], [], []

    def add(self, digests: Sequence[bytes]) -> None:
        """Add digests. Raises OSError."""
        incoming = self._incoming
        for digest in digests:
            incoming[digest[0]].append(digest)
        self._incoming_count += len(digests)
        if self._incoming_count >= _INCOMING_DIGESTS:
            self._pack_incoming()
        if self.buffered_bytes >= _BUFFERED_BYTES:
            self.write_buffers()

    @property
    def buffered_bytes(self) -> int:
        """The number of bytes in memory that wait to be written, without the digests added last."""
        return self._buffered_count * self.width

    def finish(self) -> None:
        """Write the rest to the file. No digest can be added afterwards. Raises OSError."""
        self._pack_incoming()
        self.write_buffers()
        self._incoming, self._buffers = [], []

    def segments(self, bucket: int, count: int | None = None) -> Iterator[bytes]:
        """Yield strings of the digests with this first byte, of up to `count` digests in all. Raises OSError."""
        left = self._end if count is None else count * self.width
        for offset, length in self._find_segments(bucket):
            if not left:
                return
            data = self._file.read(offset, min(length, left))
            left -= len(data)
            yield data

    def _pack_incoming(self) -> None:
        self._buffered_count += _pack_digests(self._incoming, self._buffers)
        self._incoming_count = 0

    def write_buffers(self) -> None:
        """Write the packed digests. Raises OSError, and ValueError for a string of another length."""
        segment_offsets = array("Q", accumulate(map(len, self._buffers), initial=self._end))
        # The last check before anything is on the disk: what is no digest could be a person's value.
        if segment_offsets[-1] - self._end != self._buffered_count * self.width:
            raise ValueError(f"a digest must have {self.width} bytes")
        self._segment_offsets.append(segment_offsets)
        for bucket, buffer in enumerate(self._buffers):
            self._write_at(_split_range(segment_offsets[bucket], segment_offsets[bucket + 1]), buffer)
            buffer.clear()
        self._end = segment_offsets[-1]
        self._buffered_count = 0

    def _find_segments(self, bucket: int) -> Iterator[tuple[int, int]]:
        """Yield the offset and length in bytes of each of a bucket's segments, a long one in chunks."""
        for segment_offsets in self._segment_offsets:
            yield from _split_range(segment_offsets[bucket], segment_offsets[bucket + 1])

    def _write_at(self, places: Iterable[tuple[int, int]], data: bytes | bytearray) -> None:
        """Write data to places in the file (offset and length in bytes) until no data is left."""
        written = 0
        with memoryview(data) as view:
            for offset, length in places:
                self._file.write(offset, view[written : written + length])
                written += length


class Spool(Buckets, SortedDigests):
    """Digests in buckets. `finish` sorts them and drops repeats."""

    _unique_counts: Sequence[int] = ()  # by bucket, once finished

    def finish(self) -> None:
        """Sort the digests and drop repeats. No digest can be added afterwards. Raises OSError."""
        super().finish()
        self._unique_counts = [self._deduplicate_bucket(bucket) for bucket in range(BUCKETS)]

    @property
    def unique_count(self) -> int:
        """The number of different digests."""
        return sum(self._unique_counts)

    def chunks(self) -> Iterator[bytes]:
        """Yield the different digests in ascending order, in strings of any length. Raises OSError."""
        return chain.from_iterable(map(self.segments, range(BUCKETS), self._unique_counts))

    def buckets(self) -> Iterator[Iterator[bytes]]:
        """Yield the different digests of each first byte in turn, in ascending order. Raises OSError."""
        for bucket, count in enumerate(self._unique_counts):
            yield split_fixed(b"".join(self.segments(bucket, count)), self.width)

    def _deduplicate_bucket(self, bucket: int) -> int:
        """Sort the digests of a bucket, drop repeats, and return how many are left."""
        count = sum(length for _, length in self._find_segments(bucket)) // self.width
        data = _sort_and_deduplicate(self.segments(bucket), count, self.width)
        self._write_at(self._find_segments(bucket), data)
        return len(data) // self.width


def fingerprint(chunks: Iterable[bytes] = ()) -> str:
    """Return eight hex digits of the SHA-256 of sorted digests. `chunks`: the digests in strings of any length."""
    sha = hashlib.sha256()
    for chunk in chunks:
        sha.update(chunk)
    return sha.hexdigest()[:8]


def _split_range(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the offset and length of each chunk of a range of bytes."""
    for offset in range(begin, end, _CHUNK_BYTES):
        yield offset, min(_CHUNK_BYTES, end - offset)


def _pack_digests(incoming: list[list[bytes]], buffers: list[bytearray]) -> int:
    """Move digests from objects (88 bytes each) to strings (32 bytes each), and return how many.

    Where a bucket gets many, their repeats are dropped.
    """
    count = 0
    for digests, string in zip(incoming, buffers, strict=True):
        kept = digests if len(digests) < _CROWD else dict.fromkeys(digests)
        string += b"".join(kept)
        count += len(kept)
        digests.clear()
    return count


def _sort_and_deduplicate(segments: Iterable[bytes], count: int, width: int) -> bytes:
    """Return the different digests in ascending order. All `count` of them share their first byte."""
    if count <= _SORTED_DIGESTS:
        return _join_unique(sort_digests([*split_fixed(b"".join(segments), width)]))
    parts = _split_by_second_byte(segments, width)
    for place, part in enumerate(parts):  # in place, for each part to be freed once it is done
        parts[place] = _join_unique(sorted(split_fixed(part, width)))
    return b"".join(parts)


def _split_by_second_byte(segments: Iterable[bytes], width: int) -> list[bytes | bytearray]:
    """Return the digests of each second byte as a string. At most half of all digests are repeats."""
    incoming: list[list[bytes]] = [[] for _ in range(BUCKETS)]
    parts = [bytearray() for _ in range(BUCKETS)]
    length, longest = 0, _SPLIT_BYTES
    for piece in regroup(segments, _INCOMING_DIGESTS * width):
        for digest in split_fixed(piece, width):
            incoming[digest[1]].append(digest)
        length += _pack_digests(incoming, parts) * width
        if length > longest:
            for place, part in enumerate(parts):
                parts[place] = bytearray().join({*split_fixed(part, width)})
            length = sum(map(len, parts))
            # The next time after as many digests again as there are different ones: the cost stays linear.
            longest = max(longest, 2 * length)
    return [*parts]


def sort_digests(digests: list[bytes]) -> list[bytes]:
    """Return digests that share their first byte in ascending order."""
    if len(digests) < _FEW_DIGESTS:
        return sorted(digests)
    # Many short sorts cost half of one long one.
    incoming: list[list[bytes]] = [[] for _ in range(BUCKETS)]
    for digest in digests:
        incoming[digest[1]].append(digest)
    for of_second_byte in incoming:
        of_second_byte.sort()
    return list(chain.from_iterable(incoming))


def _join_unique(ordered: list[bytes]) -> bytes:
    """Return the different digests of a sorted list as one string."""
    differs_from_last = chain((True,), map(ne, islice(ordered, 1, None), ordered))
    return b"".join(compress(ordered, differs_from_last))


def split_fixed(data: bytes | bytearray, width: int = DIGEST_BYTES, skipped: int = 0) -> Iterator[bytes]:
    """Split a string into pieces of `width` bytes, and leave out the `skipped` bytes after each of them."""
    many, each = _split_structs(width, skipped)
    view = memoryview(data)
    tail = len(view) - len(view) % many.size
    return chain(chain.from_iterable(many.iter_unpack(view[:tail])), chain.from_iterable(each.iter_unpack(view[tail:])))


@cache
def _split_structs(width: int, skipped: int) -> tuple[Struct, Struct]:
    """Return a struct that splits off 32 pieces at once, and one for a single piece."""
    # Thirty-two at a time costs a third of slicing one by one.
    return Struct(f"{width}s{skipped}x" * 32), Struct(f"{width}s{skipped}x")


def regroup(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield the same bytes in strings of `size` bytes. The last one may be shorter."""
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        while len(pending) >= size:
            yield bytes(pending[:size])
            del pending[:size]
    if pending:
        yield bytes(pending)
