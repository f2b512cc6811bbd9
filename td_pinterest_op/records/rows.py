"""Rows with several keys: a row of the query → one record with all its keys, as `records_v2` sends it.

Rows with the same keys have a shape in common, and with it a length: they are joined, sorted, compared, dropped as
repeats and written as JSON many at a time, like digests.
"""

from __future__ import annotations

import json
from binascii import hexlify
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import compress
from struct import Struct

from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.digests import key_block
from td_pinterest_op.records.identifier_types import EXTERNAL_ID, TYPES
from td_pinterest_op.records.identifiers import Reason
from td_pinterest_op.records.spool import DIGEST_BYTES

_HASHED_KEYS = tuple(dict.fromkeys(type_.key for type_ in TYPES.values() if type_.is_hashed))
_EXTERNAL_ID = 1 << len(_HASHED_KEYS)
# A shape is a number: a bit for each key, and above them the bytes that its external ids are filled up to.
_KEYS = 2 * _EXTERNAL_ID - 1
_SHORTEST_EXTERNAL_ID = 16
# Rows that are written as JSON at once.
_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Shape:
    """The keys that a row has, and their lengths. A row is its digests in the order of the keys, then its external id.

    An external id is filled up with NUL, which none can hold, and a row without a digest begins with one that is not
    sent: like all others it is then found in a bucket by its first byte.
    """

    number: int

    @property
    def keys(self) -> list[str]:
        """The keys that are hashed."""
        return [key for bit, key in enumerate(_HASHED_KEYS) if self.number >> bit & 1]

    @property
    def count(self) -> int:
        """How many keys there are."""
        return (self.number & _KEYS).bit_count()

    @property
    def external_id_bytes(self) -> int:
        """The length of the external ids, 0 for rows without any."""
        return self.number // (_KEYS + 1)

    @property
    def digest_bytes(self) -> int:
        """The length of the digests before the external id."""
        return max(1, len(self.keys)) * DIGEST_BYTES

    @property
    def width(self) -> int:
        """The length of a row."""
        return self.digest_bytes + self.external_id_bytes

    def to_json(self, data: bytes) -> Iterator[bytes]:
        """Rows of this shape as the objects of `records_v2`, with a comma between two, in parts of the text."""
        # Put together by hand: digests need no escapes, and a JSON encoder takes ten times as long.
        members = [b'"%s":"%%s"' % key.encode() for key in self.keys]
        members += [b'"%s":%%s' % EXTERNAL_ID.key.encode()] if self.external_id_bytes else []
        template = b"{%s}" % b",".join(members)
        step = _ROWS_AT_ONCE * self.width
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            rows = b",".join([template] * (len(piece) // self.width)) % tuple(self._values(piece))
            yield b"," + rows if start else rows

    def _values(self, data: bytes) -> Sequence[bytes]:
        """The values of all keys, row by row, as in JSON."""
        if not self.external_id_bytes:
            return _hex(data)
        pairs = [*_pairs(self.digest_bytes, self.external_id_bytes).iter_unpack(data)]
        digests = _hex(b"".join(digests for digests, _ in pairs))
        values = [b""] * (len(pairs) * self.count)
        for place in range(len(self.keys)):
            values[place :: self.count] = digests[place :: len(self.keys)]
        values[self.count - 1 :: self.count] = [
            json.dumps(filled.rstrip(b"\0").decode()).encode() for _, filled in pairs
        ]
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBlock:
    """The rows of one block, judged.

    `rows`: each valid row, repeats included, by shape. `rejected`: position (from 0) and reason of
    each row without a valid key. `rejected_keys`: the reasons of keys that were left out of valid rows.
    """

    rows: Mapping[Shape, list[bytes]]
    rejected: list[tuple[int, Reason]]
    rejected_keys: Counter[Reason]


def encode_block(
    columns: Sequence[Column], block: Sequence[Sequence[object]], *, default_country: str | None
) -> RowBlock:
    """The rows of a block, a list of values for each column of the result. Raises WorkflowError (see `phones`)."""
    shapes = [sum(map(_bit, columns))] * len(block[columns[0].position])
    keys: list[list[bytes]] = []
    reasons: dict[int, list[Reason]] = {}
    for column in sorted(columns, key=_bit):
        found = key_block(column.type, block[column.position], default_country=default_country)
        for position, reason in found.rejected:
            shapes[position] -= _bit(column)
            reasons.setdefault(position, []).append(reason)
        keys.append(found.keys if column.type.is_hashed else _filled_up(found.keys, shapes))
    return RowBlock(
        rows=_by_shape(map(b"".join, zip(*keys, strict=True)), shapes),
        rejected=[
            (position, _to_count(of_row)) for position, of_row in sorted(reasons.items()) if not shapes[position]
        ],
        rejected_keys=Counter(
            reason
            for position, of_row in reasons.items()
            if shapes[position]
            for reason in of_row
            if reason is not Reason.NULL
        ),
    )


def _bit(column: Column) -> int:
    return 1 << _HASHED_KEYS.index(column.type.key) if column.type.is_hashed else _EXTERNAL_ID


def _filled_up(external_ids: Sequence[bytes], shapes: list[int]) -> list[bytes]:
    """The ids at one of a few lengths each, which is added to the shapes."""
    filled = []
    for position, external_id in enumerate(external_ids):
        if external_id:
            length = max(_SHORTEST_EXTERNAL_ID, 1 << (len(external_id) - 1).bit_length())
            shapes[position] += length * (_KEYS + 1)
            external_id = external_id.ljust(length, b"\0")
        filled.append(external_id)
    return filled


def _by_shape(rows: Iterable[bytes], shapes: Sequence[int]) -> dict[Shape, list[bytes]]:
    different = {*shapes}
    if len(different) > 1:
        rows = [*rows]
    found = {}
    for number in different - {0}:
        of_shape = [*rows] if len(different) == 1 else [*compress(rows, map(number.__eq__, shapes))]
        shape = Shape(number)
        found[shape] = of_shape if shape.keys else [sha256(row).digest() + row for row in of_shape]
    return found


def _to_count(reasons: Sequence[Reason]) -> Reason:
    """The reason to count for a row: a null says only that the row has no such key."""
    return next((reason for reason in reasons if reason is not Reason.NULL), Reason.NULL)


def _hex(digests: bytes) -> list[bytes]:
    return hexlify(digests, b",", DIGEST_BYTES).split(b",")


@cache
def _pairs(digest_bytes: int, external_id_bytes: int) -> Struct:
    return Struct(f"{digest_bytes}s{external_id_bytes}s")
