"""Records that go into one request: identifiers, or rows with several keys."""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from td_pinterest_op.records import rows
from td_pinterest_op.records.spool import DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class Digests:
    """Identifiers, sent as `records`; `data` has 32 bytes for each, one after the other."""

    data: bytes

    def __len__(self) -> int:
        return len(self.data) // DIGEST_BYTES

    def split(self, size: int) -> list[Digests]:
        """The same records, `size` at a time."""
        step = size * DIGEST_BYTES
        return [Digests(self.data[start : start + step]) for start in range(0, len(self.data), step)]

    def to_json(self) -> bytes:
        """The member of a request's body that holds them."""
        # Put together by hand: a JSON encoder would read all of the text once more to find nothing to escape.
        return b'"records":"%s"' % binascii.hexlify(self.data, ",", DIGEST_BYTES)


@dataclass(frozen=True, slots=True)
class RowRecords:
    """Rows as `rows` encodes them, sent as `records_v2`."""

    data: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.data)

    def split(self, size: int) -> list[RowRecords]:
        """The same records, `size` at a time."""
        return [RowRecords(self.data[start : start + size]) for start in range(0, len(self.data), size)]

    def to_json(self) -> bytes:
        """The member of a request's body that holds them."""
        return b'"records_v2":[%s]' % b",".join(map(rows.to_json, self.data))

    def identifiers(self) -> Digests:
        """Every digest of the rows as an identifier of its own; external ids are no identifiers."""
        return Digests(b"".join(digest for row in self.data for digest in rows.digests(row)))


Batch = Digests | RowRecords
