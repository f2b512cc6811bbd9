"""Rows with several keys: a row of the query → one record with all its keys, as `records_v2` sends it.

Rows with the same keys have the same shape, and so the same length: they are sorted, compared, deduplicated and written
as JSON many at a time, like digests.
"""

from __future__ import annotations

import json
from binascii import hexlify
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import chain, compress, product
from math import prod
from struct import Struct

from td_pinterest_op.identifiers.rules import Reason
from td_pinterest_op.identifiers.types import EXTERNAL_ID, TYPES
from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnKeys, identifier_of

_HASHED_KEYS = tuple(dict.fromkeys(type_.key for type_ in TYPES.values() if type_.is_hashed))
_EXTERNAL_ID = 1 << len(_HASHED_KEYS)
_BITS = [1 << place for place in range(len(_HASHED_KEYS) + 1)]
# A shape is a number: a bit for each key, above them the length of its (padded) external ids, and a bit for extra rows:
# further combinations of the values of a row, which do not count as records of their own.
_KEYS = 2 * _EXTERNAL_ID - 1
_EXTRA = 1 << 16
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

    An external id is padded with NUL, which none can hold. A row without a digest begins with one that is not sent:
    like all others it is then put into a bucket by its first byte.
    """

    number: int

    @property
    def keys(self) -> list[str]:
        """The names of the keys that are hashed."""
        return [key for bit, key in enumerate(_HASHED_KEYS) if self.number >> bit & 1]

    @property
    def count(self) -> int:
        """How many keys there are."""
        return (self.number & _KEYS).bit_count()

    @property
    def external_id_bytes(self) -> int:
        """The length of the external ids, 0 for rows without any."""
        return self.number % _EXTRA // (_KEYS + 1)

    @property
    def extra_number(self) -> int:
        """The number of the shape for extra rows with the same keys."""
        return self.number | _EXTRA

    @property
    def is_extra(self) -> bool:
        """Whether the rows are further combinations of the values of a row that counts."""
        return self.number >= _EXTRA

    @property
    def digest_bytes(self) -> int:
        """The length of the digests before the external id."""
        return max(1, len(self.keys)) * DIGEST_BYTES

    @property
    def width(self) -> int:
        """The length of a row."""
        return self.digest_bytes + self.external_id_bytes

    def to_json(self, data: bytes) -> Iterator[bytes]:
        """Yield rows of this shape as the objects of `records_v2`, separated by commas, in parts of the text."""
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
        """Return what the keys of a row are compared by with those of others: digests, also of the external id."""
        hashed_bytes = (self.number % _EXTERNAL_ID).bit_count() * DIGEST_BYTES
        digests = [row[start : start + DIGEST_BYTES] for start in range(0, hashed_bytes, DIGEST_BYTES)]
        if self.external_id_bytes:
            digests.append(identifier_of(EXTERNAL_ID, row[self.digest_bytes :].rstrip(b"\0")))
        return digests

    def strip(self, row: bytes, identifiers: Container[bytes]) -> tuple[int, bytes] | None:
        """Return the number of a shape and a row without some of its keys, which counts; None if nothing is left."""
        number, left = 0, []
        bits = [bit for bit in _BITS if self.number & bit]
        for bit, identifier in zip(bits, self.identifiers(row), strict=True):
            if identifier in identifiers:
                continue
            is_external_id = bit == _EXTERNAL_ID
            number |= bit | (_length_bits(self.external_id_bytes) if is_external_id else 0)
            left.append(row[self.digest_bytes :] if is_external_id else identifier)
        return (number, _add_first_digest(b"".join(left), number)) if left else None

    def _values(self, data: bytes) -> Sequence[bytes]:
        """Return the values of all keys, row by row, as JSON has them."""
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
    """`count` successive rows of a block.

    `rows` and `shapes` (their numbers, 0: no valid key) have an entry for each row, or, if a key has several values,
    for each combination; `positions` then says which of the rows it is.
    """

    count: int
    rows: list[bytes]
    shapes: list[int]
    positions: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedRows:
    """The rows of one block, encoded and checked.

    `parts` are all rows, to be iterated once. `valid`: how many have a valid key. `rejected`: position (from 0) and
    reason of each other row. `rejected_keys`: the reasons of keys that valid rows go without.
    """

    parts: Iterator[EncodedPart]
    valid: int
    rejected: list[tuple[int, Reason]]
    rejected_keys: Counter[Reason]


def group_by_shape(rows: Sequence[bytes], shapes: Sequence[int]) -> dict[Shape, Sequence[bytes]]:
    """Return the rows that have a shape, repeats included; `shapes`: the number of each row's."""
    different = {*shapes}
    if len(different) == 1 and 0 not in different:
        return {Shape(*different): rows}
    return {Shape(number): [*compress(rows, map(number.__eq__, shapes))] for number in different if number}


def encode_rows(by_column: Sequence[ColumnKeys], *, count: int) -> EncodedRows:
    """Return the `count` rows of a block, made of the keys of its columns."""
    by_column = sorted(by_column, key=lambda keys: _bit(keys.column))
    reasons: dict[int, list[Reason]] = {}
    for column in by_column:
        for position, reason in column.rejected:
            reasons.setdefault(position, []).append(reason)
    if all(column.rows is None for column in by_column):
        shapes = _shapes(by_column, count)
        part = _encode_part(by_column, [column.keys for column in by_column], shapes, range(count), count)
        valid = {position for position in reasons if shapes[position]}
        return _count_rejected(iter([part]), count, reasons, valid)
    values = [[*keys] for keys in zip(*(column.by_row(count) for column in by_column), strict=True)]
    for position, keys in enumerate(values):
        if prod(max(len(of_key), 1) for of_key in keys) > MOST_COMBINATIONS:
            values[position], reasons[position] = [], [Reason.TOO_MANY_COMBINATIONS]
    valid = {position for position in reasons if any(values[position])}
    return _count_rejected(_combine(by_column, values), count, reasons, valid)


def _count_rejected(
    parts: Iterator[EncodedPart], count: int, reasons: Mapping[int, Sequence[Reason]], valid: Set[int]
) -> EncodedRows:
    """Count the reasons: of an invalid row its first one, of a valid one each of its keys'.

    A null tells only that a row has no such key: it is the reason of a row that has no other.
    """
    rejected = [
        (position, next((reason for reason in reasons[position] if reason is not Reason.NULL), Reason.NULL))
        for position in sorted(reasons.keys() - valid)
    ]
    of_keys = chain.from_iterable(map(reasons.__getitem__, valid))
    rejected_keys: Counter[Reason] = Counter(reason for reason in of_keys if reason is not Reason.NULL)
    return EncodedRows(parts=parts, valid=count - len(rejected), rejected=rejected, rejected_keys=rejected_keys)


def _bit(column: Column) -> int:
    return _BITS[_HASHED_KEYS.index(column.type.key)] if column.type.is_hashed else _EXTERNAL_ID


def _length_bits(external_id_bytes: int) -> int:
    return external_id_bytes * (_KEYS + 1)


def _shapes(by_column: Sequence[ColumnKeys], count: int) -> list[int]:
    """Return the number of the shape of each row, where a row has one value of a key."""
    shapes = [sum(_bit(column.column) for column in by_column)] * count
    for column in by_column:
        for position, _ in column.rejected:
            shapes[position] -= _bit(column.column)
    return shapes


def _encode_part(
    by_column: Sequence[ColumnKeys], keys: list[list[bytes]], shapes: list[int], positions: Sequence[int], count: int
) -> EncodedPart:
    is_hashed = by_column[-1].column.type.is_hashed
    if not is_hashed:
        keys[-1] = _pad(keys[-1], shapes)
    rows = [*map(b"".join, zip(*keys, strict=True))]
    if not is_hashed:
        rows = [_add_first_digest(row, number) for row, number in zip(rows, shapes, strict=True)]
    return EncodedPart(count=count, rows=rows, shapes=shapes, positions=positions)


def _add_first_digest(row: bytes, number: int) -> bytes:
    """Return a row that begins with a digest."""
    return row if number % _EXTERNAL_ID or not number else sha256(row).digest() + row


def _pad(external_ids: Sequence[bytes], shapes: list[int]) -> list[bytes]:
    """Return the ids padded to one of a few lengths each, which is added to the shapes."""
    padded = []
    for position, external_id in enumerate(external_ids):
        if external_id:
            length = max(_SHORTEST_EXTERNAL_ID, 1 << (len(external_id) - 1).bit_length())
            shapes[position] += _length_bits(length)
            external_id = external_id.ljust(length, b"\0")
        padded.append(external_id)
    return padded


def _combine(by_column: Sequence[ColumnKeys], values: Sequence[Sequence[Sequence[bytes]]]) -> Iterator[EncodedPart]:
    """Yield all combinations of the values of each row; all but the first of a row are extra rows."""
    keys: list[list[bytes]] = [[] for _ in by_column]
    positions: list[int] = []
    shapes: list[int] = []
    first = 0
    bits = [_bit(column.column) for column in by_column]
    for row, of_keys in enumerate(values):
        if len(shapes) >= _COMBINATIONS_AT_ONCE:
            yield _encode_part(by_column, keys, shapes, positions, row - first)
            keys, positions, shapes, first = [[] for _ in by_column], [], [], row
        if not any(of_keys):
            continue
        shape = sum(compress(bits, of_keys))
        combinations = [*zip(*product(*(sorted(of_key) or [b""] for of_key in of_keys)), strict=True)]
        count = len(combinations[0])
        positions += [row - first] * count
        shapes += [shape, *[shape + _EXTRA] * (count - 1)]
        for column_keys, of_key in zip(keys, combinations, strict=True):
            column_keys += of_key
    yield _encode_part(by_column, keys, shapes, positions, len(values) - first)


def _hex(digests: bytes) -> list[bytes]:
    return hexlify(digests, b",", DIGEST_BYTES).split(b",")


@cache
def _pairs(digest_bytes: int, external_id_bytes: int) -> Struct:
    return Struct(f"{digest_bytes}s{external_id_bytes}s")
