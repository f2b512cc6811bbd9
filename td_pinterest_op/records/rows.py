"""Rows with several keys: a row of the query → one record with all its keys, as `records_v2` sends it.

Rows with the same keys have a shape in common, and with it a length: they are joined, sorted, compared, dropped as
repeats and written as JSON many at a time, like digests.
"""

from __future__ import annotations

import json
from binascii import hexlify
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import compress, product
from math import prod
from struct import Struct

from td_pinterest_op.identifiers.rules import Reason
from td_pinterest_op.identifiers.types import EXTERNAL_ID, TYPES
from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnKeys, identifier_of

_HASHED_KEYS = tuple(dict.fromkeys(type_.key for type_ in TYPES.values() if type_.is_hashed))
_EXTERNAL_ID = 1 << len(_HASHED_KEYS)
# A shape is a number: a bit for each key, above them the bytes that its external ids are filled up to, and a bit for
# rows that do not count: further combinations of the values of a row.
_KEYS = 2 * _EXTERNAL_ID - 1
_UNCOUNTED = 1 << 16
_SHORTEST_EXTERNAL_ID = 16
# Rows that are written as JSON at once.
_ROWS_AT_ONCE = 500
# Combinations that are made at once, but for those of the last row among them.
_COMBINATIONS_AT_ONCE = 5_000
MOST_COMBINATIONS = 1_000
"""A row with more combinations of its values is invalid: nobody has that many, and memory must stay flat."""


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
        return self.number % _UNCOUNTED // (_KEYS + 1)

    @property
    def uncounted(self) -> int:
        """The number of the shape for further combinations."""
        return self.number | _UNCOUNTED

    @property
    def counts(self) -> bool:
        """Whether the rows count, or are further combinations of the values of one that does."""
        return self.number < _UNCOUNTED

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

    def identifiers(self, row: bytes) -> list[bytes]:
        """What the keys of one row are compared by with those of others: digests, also of the external id."""
        hashed = self.number % _EXTERNAL_ID
        digests = [
            row[start : start + DIGEST_BYTES] for start in range(0, hashed.bit_count() * DIGEST_BYTES, DIGEST_BYTES)
        ]
        if not self.number & _EXTERNAL_ID:
            return digests
        return [*digests, identifier_of(EXTERNAL_ID, row[self.digest_bytes :].rstrip(b"\0"))]

    def without(self, row: bytes, identifiers: Container[bytes]) -> tuple[int, bytes] | None:
        """A row, which counts, without some of its keys, and the number of its shape; None if nothing is left."""
        number, left = self.number % _UNCOUNTED, []
        bits = [bit for bit in range(len(_HASHED_KEYS) + 1) if self.number >> bit & 1]
        for bit, identifier in zip(bits, self.identifiers(row), strict=True):
            if identifier not in identifiers:
                left.append(row[self.digest_bytes :] if 1 << bit == _EXTERNAL_ID else identifier)
            elif 1 << bit == _EXTERNAL_ID:
                number %= _EXTERNAL_ID
            else:
                number -= 1 << bit
        if not left:
            return None
        return number, _findable(b"".join(left), number)

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
class EncodedPart:
    """`count` rows of a block, one after the other.

    `rows` and `shapes` (their numbers, 0: no valid key) have an entry for each row, or, if a key has several values,
    for each combination; `positions` then says which of the rows it is.
    """

    count: int
    rows: list[bytes]
    shapes: list[int]
    positions: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedRows:
    """The rows of one block, judged.

    `parts` are all rows, to be iterated once. `valid`: rows with a valid key. `rejected`: position (from 0) and reason
    of each other row. `rejected_keys`: the reasons of keys that valid rows go without.
    """

    parts: Iterator[EncodedPart]
    valid: int
    rejected: list[tuple[int, Reason]]
    rejected_keys: Counter[Reason]


def group_by_shape(rows: Sequence[bytes], shapes: Sequence[int]) -> dict[Shape, Sequence[bytes]]:
    """The rows that have a shape, repeats included; `shapes`: the number of each row's."""
    different = {*shapes}
    if len(different) == 1 and 0 not in different:
        return {Shape(*different): rows}
    return {Shape(number): [*compress(rows, map(number.__eq__, shapes))] for number in different if number}


def encode_rows(by_column: Sequence[ColumnKeys], *, count: int) -> EncodedRows:
    """The `count` rows of a block, from the keys of its columns."""
    by_column = sorted(by_column, key=lambda keys: _bit(keys.column))
    reasons: dict[int, list[Reason]] = {}
    for column in by_column:
        for position, reason in column.rejected:
            reasons.setdefault(position, []).append(reason)
    if any(column.rows is not None for column in by_column):
        of_rows = [[*keys] for keys in zip(*(column.by_row(count) for column in by_column), strict=True)]
        for position in _crowded(of_rows):
            of_rows[position], reasons[position] = [], [Reason.TOO_MANY_COMBINATIONS]
        parts = _combined(by_column, of_rows)
        valid = {position for position in reasons if any(of_rows[position])}
    else:
        shapes = _shapes(by_column, count)
        valid = {position for position in reasons if shapes[position]}
        parts = iter([_part(by_column, [column.keys for column in by_column], shapes, range(count), count)])
    rejected = [(position, _to_count(of_row)) for position, of_row in sorted(reasons.items()) if position not in valid]
    return EncodedRows(
        parts=parts,
        valid=count - len(rejected),
        rejected=rejected,
        rejected_keys=Counter(
            reason
            for position, of_row in reasons.items()
            if position in valid
            for reason in of_row
            if reason is not Reason.NULL
        ),
    )


def _findable(row: bytes, number: int) -> bytes:
    """A row that begins with a digest."""
    return row if number % _EXTERNAL_ID or not number else sha256(row).digest() + row


def _bit(column: Column) -> int:
    return 1 << _HASHED_KEYS.index(column.type.key) if column.type.is_hashed else _EXTERNAL_ID


def _shapes(by_column: Sequence[ColumnKeys], count: int) -> list[int]:
    """The number of the shape of each row, where a row has one value of a key."""
    shapes = [sum(_bit(column.column) for column in by_column)] * count
    for column in by_column:
        for position, _ in column.rejected:
            shapes[position] -= _bit(column.column)
    return shapes


def _part(
    by_column: Sequence[ColumnKeys], keys: list[list[bytes]], shapes: list[int], positions: Sequence[int], count: int
) -> EncodedPart:
    is_hashed = by_column[-1].column.type.is_hashed
    if not is_hashed:
        keys[-1] = _filled_up(keys[-1], shapes)
    rows = [*map(b"".join, zip(*keys, strict=True))]
    if not is_hashed:
        rows = [_findable(row, number) for row, number in zip(rows, shapes, strict=True)]
    return EncodedPart(count=count, rows=rows, shapes=shapes, positions=positions)


def _crowded(of_rows: Sequence[Sequence[Sequence[bytes]]]) -> list[int]:
    """The positions of rows with too many combinations."""
    return [
        position
        for position, keys in enumerate(of_rows)
        if prod(max(len(values), 1) for values in keys) > MOST_COMBINATIONS
    ]


def _combined(by_column: Sequence[ColumnKeys], of_rows: Sequence[Sequence[Sequence[bytes]]]) -> Iterator[EncodedPart]:
    """All combinations of the values of each row. But for the first of a row, they do not count."""
    keys: list[list[bytes]] = [[] for _ in by_column]
    positions: list[int] = []
    shapes: list[int] = []
    first = 0
    for row, values in enumerate(of_rows):
        if len(shapes) >= _COMBINATIONS_AT_ONCE:
            yield _part(by_column, keys, shapes, positions, row - first)
            keys, positions, shapes, first = [[] for _ in by_column], [], [], row
        if not any(values):
            continue
        for number, combination in enumerate(product(*(sorted(of_key) or [b""] for of_key in values))):
            present = sum(_bit(column.column) for column, key in zip(by_column, combination, strict=True) if key)
            shapes.append(present + _UNCOUNTED if number else present)
            positions.append(row - first)
            for column_of_keys, key in zip(keys, combination, strict=True):
                column_of_keys.append(key)
    yield _part(by_column, keys, shapes, positions, len(of_rows) - first)


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


def _to_count(reasons: Sequence[Reason]) -> Reason:
    """The reason to count for a row: a null says only that the row has no such key."""
    return next((reason for reason in reasons if reason is not Reason.NULL), Reason.NULL)


def _hex(digests: bytes) -> list[bytes]:
    return hexlify(digests, b",", DIGEST_BYTES).split(b",")


@cache
def _pairs(digest_bytes: int, external_id_bytes: int) -> Struct:
    return Struct(f"{digest_bytes}s{external_id_bytes}s")
