"""Records that go into one request: identifiers, or rows with several keys."""

from binascii import hexlify
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from td_pinterest_op.records.digests import DIGEST_BYTES
from td_pinterest_op.records.rows import Shape

# A batch of rows is longer than one of digests. This limits its bytes in the spool; as JSON it has twice as many.
_MAX_BATCH_BYTES = 2 << 20


@dataclass(frozen=True, slots=True)
class DigestBatch:
    """Identifiers of one request, sent as `records`. `data`: 32 bytes for each."""

    data: bytes

    def __len__(self) -> int:
        return len(self.data) // DIGEST_BYTES

    @property
    def record_count(self) -> int:
        """The number of records."""
        return len(self)

    def split(self, size: int) -> "list[DigestBatch]":
        """Return batches of the same records, with up to `size` in each."""
        step = size * DIGEST_BYTES
        return [DigestBatch(self.data[start : start + step]) for start in range(0, len(self.data), step)]

    def to_json(self) -> Iterator[bytes]:
        """Yield the member `records` of a request's JSON body, in parts."""
        # Put together by hand: a JSON encoder would read all of the text once more to find nothing to escape.
        yield b'"records":"'
        yield hexlify(self.data, ",", DIGEST_BYTES)
        yield b'"'


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows of one request, sent as `records_v2`. `parts`: each shape with its rows as one string."""

    parts: Sequence[tuple[Shape, bytes]]

    def __len__(self) -> int:
        return sum(len(data) // shape.width for shape, data in self.parts)

    @property
    def record_count(self) -> int:
        """The number of records. Further combinations of a row's values do not count."""
        return sum(len(data) // shape.width for shape, data in self.parts if not shape.is_extra)

    def split(self, size: int) -> "list[RowBatch]":
        """Return batches of the same records, with up to `size` in each."""
        return [*make_batches(self.parts, size)]

    def to_json(self) -> Iterator[bytes]:
        """Yield the member `records_v2` of a request's JSON body, in parts."""
        yield b'"records_v2":['
        for number, (shape, data) in enumerate(self.parts):
            if number:
                yield b","
            yield from shape.to_json(data)
        yield b"]"


Batch = DigestBatch | RowBatch


def make_batches(chunks: Iterable[tuple[Shape, bytes]], size: int) -> Iterator[RowBatch]:
    """Yield batches of up to `size` rows, fewer if they are long. `chunks`: pairs of a shape and a string of rows."""
    batch: list[tuple[Shape, bytes]] = []
    rows_left, bytes_left = size, _MAX_BATCH_BYTES
    for shape, chunk in chunks:
        start = 0
        while start < len(chunk):
            if batch and (not rows_left or bytes_left < shape.width):
                yield RowBatch(batch)
                batch, rows_left, bytes_left = [], size, _MAX_BATCH_BYTES
            rows = min(rows_left, bytes_left // shape.width)
            piece = chunk[start : start + rows * shape.width]
            batch.append((shape, piece))
            rows_left, bytes_left = rows_left - len(piece) // shape.width, bytes_left - len(piece)
            start += len(piece)
    if batch:
        yield RowBatch(batch)
