"""Records that go into one request: identifiers, or rows with several keys."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from dataclasses import dataclass

from td_pinterest_op.records.row_spool import Parts, in_batches
from td_pinterest_op.records.spool import DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class Digests:
    """Identifiers, sent as `records`; `data` has 32 bytes for each, one after the other."""

    data: bytes

    def __len__(self) -> int:
        return len(self.data) // DIGEST_BYTES

    @property
    def counted(self) -> int:
        """All of them."""
        return len(self)

    def split(self, size: int) -> list[Digests]:
        """The same records, `size` at a time."""
        step = size * DIGEST_BYTES
        return [Digests(self.data[start : start + step]) for start in range(0, len(self.data), step)]

    def to_json(self) -> Iterator[bytes]:
        """The member of a request's body that holds them, in parts."""
        # Put together by hand: a JSON encoder would read all of the text once more to find nothing to escape.
        yield b'"records":"'
        yield binascii.hexlify(self.data, ",", DIGEST_BYTES)
        yield b'"'


@dataclass(frozen=True, slots=True)
class RowRecords:
    """Rows with several keys, sent as `records_v2`."""

    parts: Parts

    def __len__(self) -> int:
        return sum(len(data) // shape.width for shape, data in self.parts)

    @property
    def counted(self) -> int:
        """How many there are but for further combinations of a row's values."""
        return sum(len(data) // shape.width for shape, data in self.parts if shape.counts)

    def split(self, size: int) -> list[RowRecords]:
        """The same records, `size` at a time."""
        return [RowRecords(piece) for piece in in_batches(self.parts, size)]

    def to_json(self) -> Iterator[bytes]:
        """The member of a request's body that holds them, in parts."""
        yield b'"records_v2":['
        for number, (shape, data) in enumerate(self.parts):
            if number:
                yield b","
            yield from shape.to_json(data)
        yield b"]"


Batch = Digests | RowRecords
