"""Rows with several keys: a row of the query → one record with all its keys, as `records_v2` sends it.

Rows with the same keys have the same shape, and so the same length: they are sorted, compared, deduplicated and written
as JSON many at a time, like digests.
"""

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
    def hashed_keys(self) -> list[str]:
        """The names of the keys that are hashed."""
        return [key for bit, key in enumerate(_HASHED_KEYS) if self.number >> bit & 1]

    @property
    def key_count(self) -> int:
        """The number of keys."""
        return (self.number & _KEYS).bit_count()

    @property
    def external_id_bytes(self) -> int:
        """The length of each padded external id in bytes, 0 for rows without one."""
        return self.number % _EXTRA // (_KEYS + 1)

    @property
    def extra_number(self) -> int:
        """The number of the shape that extra rows with the same keys have."""
        return self.number | _EXTRA

    @property
    def is_extra(self) -> bool:
        """Whether the rows are further combinations of a row's values, which do not count as records."""
        return self.number >= _EXTRA

    @property
    def digest_bytes(self) -> int:
        """The length in bytes of a row's digests, before its external id."""
        return max(1, len(self.hashed_keys)) * DIGEST_BYTES

    @property
    def width(self) -> int:
        """The length of a row in bytes."""
        return self.digest_bytes + self.external_id_bytes

    def to_json(self, data: bytes) -> Iterator[bytes]:
        """Yield parts of JSON text: the rows as objects of `records_v2`, separated by commas."""
        # Put together by hand: digests need no escapes, and a JSON encoder takes ten times as long.
        members = [b'"%s":"%%s"' % key.encode() for key in self.hashed_keys]
        members += [b'"%s":%%s' % EXTERNAL_ID.key.encode()] if self.external_id_bytes else []
        template = b"{%s}" % b",".join(members)
        step = _ROWS_AT_ONCE * self.width
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            rows = b",".join([template] * (len(piece) // self.width)) % tuple(self._format_values(piece))
            yield b"," + rows if start else rows

    def identifiers(self, row: bytes) -> list[bytes]:
        """Return the digests by which the keys of a row, an external id included, are compared with others."""
        hashed_bytes = (self.number % _EXTERNAL_ID).bit_count() * DIGEST_BYTES
        digests = [row[start : start + DIGEST_BYTES] for start in range(0, hashed_bytes, DIGEST_BYTES)]
        if self.external_id_bytes:
            digests.append(identifier_of(EXTERNAL_ID, row[self.digest_bytes :].rstrip(b"\0")))
        return digests

    def strip(self, row: bytes, identifiers: Container[bytes]) -> tuple[int, bytes] | None:
        """Return a row without these identifiers, after the number of its new shape. None if no key is left."""
        number, left = 0, []
        bits = [bit for bit in _BITS if self.number & bit]
        for bit, identifier in zip(bits, self.identifiers(row), strict=True):
            if identifier in identifiers:
                continue
            is_external_id = bit == _EXTERNAL_ID
            number |= bit | (_length_bits(self.external_id_bytes) if is_external_id else 0)
            left.append(row[self.digest_bytes :] if is_external_id else identifier)
        return (number, _add_first_digest(b"".join(left), number)) if left else None

    def _format_values(self, data: bytes) -> Sequence[bytes]:
        """Return the JSON values of all keys, row by row."""
        if not self.external_id_bytes:
            return _split_into_hex(data)
        pairs = [*_pair_struct(self.digest_bytes, self.external_id_bytes).iter_unpack(data)]
        digests = _split_into_hex(b"".join(digests for digests, _ in pairs))
        values = [b""] * (len(pairs) * self.key_count)
        for place in range(len(self.hashed_keys)):
            values[place :: self.key_count] = digests[place :: len(self.hashed_keys)]
        values[self.key_count - 1 :: self.key_count] = [
            json.dumps(filled.rstrip(b"\0").decode()).encode() for _, filled in pairs
        ]
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPart:
    """The checked and hashed keys of `count` consecutive rows of a block.

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

    `parts`: all rows, to be iterated once. `valid_count`: how many have a valid key. `rejected`: position (from 0) and
    reason of each other row. `rejected_keys`: the reasons of keys that valid rows go without.
    """

    parts: Iterator[EncodedPart]
    valid_count: int
    rejected: list[tuple[int, Reason]]
    rejected_keys: Counter[Reason]


def group_by_shape(rows: Sequence[bytes], shapes: Sequence[int]) -> dict[Shape, Sequence[bytes]]:
    """Return the rows by shape. `shapes`: the number of each row's shape, 0 for a row to leave out."""
    different = {*shapes}
    if len(different) == 1 and 0 not in different:
        return {Shape(*different): rows}
    return {Shape(number): [*compress(rows, map(number.__eq__, shapes))] for number in different if number}


def encode_rows(by_column: Sequence[ColumnKeys], *, count: int) -> EncodedRows:
    """Encode the `count` rows of a block from the keys of its columns."""
    by_column = sorted(by_column, key=lambda keys: _bit_of_key(keys.column))
    reasons: dict[int, list[Reason]] = {}
    for column in by_column:
        for position, reason in column.rejected:
            reasons.setdefault(position, []).append(reason)
    if all(column.rows is None for column in by_column):
        shapes = _compute_shapes(by_column, count)
        part = _encode_part(by_column, [column.keys for column in by_column], shapes, range(count), count)
        valid = {position for position in reasons if shapes[position]}
        return _count_rejected(iter([part]), count, reasons, valid)
    values = [[*keys] for keys in zip(*(column.group_by_row(count) for column in by_column), strict=True)]
    for position, keys in enumerate(values):
        if prod(max(len(of_key), 1) for of_key in keys) > MOST_COMBINATIONS:
            values[position], reasons[position] = [], [Reason.TOO_MANY_COMBINATIONS]
    valid = {position for position in reasons if any(values[position])}
    return _count_rejected(_combine_values(by_column, values), count, reasons, valid)


def _count_rejected(
    parts: Iterator[EncodedPart], count: int, reasons: Mapping[int, Sequence[Reason]], valid: Set[int]
) -> EncodedRows:
    """Return the rows with one reason for each invalid row, and the reasons for rejected keys of valid rows.

    A null tells only that a row has no such key: it is the reason of a row that has no other.
    """
    rejected = [
        (position, next((reason for reason in reasons[position] if reason is not Reason.NULL), Reason.NULL))
        for position in sorted(reasons.keys() - valid)
    ]
    of_keys = chain.from_iterable(map(reasons.__getitem__, valid))
    rejected_keys: Counter[Reason] = Counter(reason for reason in of_keys if reason is not Reason.NULL)
    return EncodedRows(parts=parts, valid_count=count - len(rejected), rejected=rejected, rejected_keys=rejected_keys)


def _bit_of_key(column: Column) -> int:
    """Return the bit for a column's key in the number of a shape."""
    return _BITS[_HASHED_KEYS.index(column.type.key)] if column.type.is_hashed else _EXTERNAL_ID


def _length_bits(external_id_bytes: int) -> int:
    """Return the bits for the length of the external ids in the number of a shape."""
    return external_id_bytes * (_KEYS + 1)


def _compute_shapes(by_column: Sequence[ColumnKeys], count: int) -> list[int]:
    """Return the number of each row's shape, if no row has several values of a key."""
    shapes = [sum(_bit_of_key(column.column) for column in by_column)] * count
    for column in by_column:
        for position, _ in column.rejected:
            shapes[position] -= _bit_of_key(column.column)
    return shapes


def _encode_part(
    by_column: Sequence[ColumnKeys], keys: list[list[bytes]], shapes: list[int], positions: Sequence[int], count: int
) -> EncodedPart:
    """Return part of a block, with the keys of each row joined. `keys`: by column."""
    is_hashed = by_column[-1].column.type.is_hashed
    if not is_hashed:
        keys[-1] = _pad_external_ids(keys[-1], shapes)
    rows = [*map(b"".join, zip(*keys, strict=True))]
    if not is_hashed:
        rows = [_add_first_digest(row, number) for row, number in zip(rows, shapes, strict=True)]
    return EncodedPart(count=count, rows=rows, shapes=shapes, positions=positions)


def _add_first_digest(row: bytes, number: int) -> bytes:
    """Return a row that begins with a digest, if necessary with one that is not sent."""
    return row if number % _EXTERNAL_ID or not number else sha256(row).digest() + row


def _pad_external_ids(external_ids: Sequence[bytes], shapes: list[int]) -> list[bytes]:
    """Return the ids padded to one of a few lengths, which is added to the shapes."""
    padded = []
    for position, external_id in enumerate(external_ids):
        if external_id:
            length = max(_SHORTEST_EXTERNAL_ID, 1 << (len(external_id) - 1).bit_length())
            shapes[position] += _length_bits(length)
            external_id = external_id.ljust(length, b"\0")
        padded.append(external_id)
    return padded


def _combine_values(
    by_column: Sequence[ColumnKeys], values: Sequence[Sequence[Sequence[bytes]]]
) -> Iterator[EncodedPart]:
    """Yield all combinations of each row's values. All but the first of a row are extra rows."""
    keys: list[list[bytes]] = [[] for _ in by_column]
    positions: list[int] = []
    shapes: list[int] = []
    first = 0
    bits = [_bit_of_key(column.column) for column in by_column]
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


def _split_into_hex(digests: bytes) -> list[bytes]:
    """Return each digest in hex."""
    return hexlify(digests, b",", DIGEST_BYTES).split(b",")


@cache
def _pair_struct(digest_bytes: int, external_id_bytes: int) -> Struct:
    """Return the struct that splits a row into its digests and its external id."""
    return Struct(f"{digest_bytes}s{external_id_bytes}s")
