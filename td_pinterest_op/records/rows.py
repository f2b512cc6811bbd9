"""Rows with several keys: a row of the query → one record with all its keys, as `records_v2` sends it.

Rows with the same keys have the same shape, and so the same length: they are sorted, compared, deduplicated and written
as JSON many at a time, like digests.
"""

import json
from binascii import hexlify
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, compress, product
from math import prod
from struct import iter_unpack

from td_pinterest_op.identifiers.rules import Reason
from td_pinterest_op.identifiers.types import EXTERNAL_ID, TYPES
from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnKeys, compute_comparable_digest

_HASHED_KEYS = tuple(dict.fromkeys(type_.key for type_ in TYPES.values() if type_.is_hashed))
_EXTERNAL_ID = 1 << len(_HASHED_KEYS)
_BITS = [1 << place for place in range(len(_HASHED_KEYS) + 1)]
# A shape is a number: a bit for each key, above them the length of its (padded) external ids, and a bit for extra rows:
# further combinations of the values of a row, which do not count as records of their own.
_KEYS = 2 * _EXTERNAL_ID - 1
_LENGTH_UNIT = 2 * _EXTERNAL_ID
_EXTRA = 1 << 16
_SHORTEST_EXTERNAL_ID = 16
# Rows that are written as JSON at once.
_ROWS_AT_ONCE = 500
# Combinations that are made at once, but for those of the last row among them.
_COMBINATIONS_AT_ONCE = 5_000
# A batch of rows is longer than one of digests. This limits its bytes in the spool; as JSON it has twice as many.
_MAX_BATCH_BYTES = 2 << 20
MOST_COMBINATIONS = 1_000
"""A row with more combinations of its values is invalid: nobody has that many, and memory must stay flat."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The layout of rows with the same keys: which keys these are, and how many bytes each takes in a row.

    A row is its digests in the order of the keys, then its external id, padded with NUL, which no valid id contains. A
    row without a digest begins with one that is not sent: like all others it is then put into a bucket by its first
    byte.
    """

    number: int

    @property
    def hashed_keys(self) -> list[str]:
        """The names of the keys that are hashed in rows of this shape."""
        return [key for bit, key in zip(_BITS, _HASHED_KEYS, strict=False) if self.number & bit]

    @property
    def key_count(self) -> int:
        """The number of keys in each row of this shape."""
        return (self.number & _KEYS).bit_count()

    @property
    def external_id_bytes(self) -> int:
        """The length in bytes of the external id in each row, with its padding, or 0 if rows have no external id."""
        return self.number % _EXTRA // _LENGTH_UNIT

    @property
    def extra_number(self) -> int:
        """The number of the shape that has the same keys, but whose rows do not count as records (see `is_extra`)."""
        return self.number | _EXTRA

    @property
    def is_extra(self) -> bool:
        """Whether these rows are further combinations of one row's array values, which do not count as records."""
        return self.number >= _EXTRA

    @property
    def digest_bytes(self) -> int:
        """The length in bytes of all digests in a row of this shape, which come before its external id."""
        return max(1, len(self.hashed_keys)) * DIGEST_BYTES

    @property
    def width(self) -> int:
        """The length in bytes of a row of this shape."""
        return self.digest_bytes + self.external_id_bytes

    def make_json_chunks(self, data: bytes) -> Iterator[bytes]:
        """Yield JSON text in chunks: encoded rows of this shape as objects for `records_v2`, separated by commas."""
        # Put together by hand: digests need no escapes, and a JSON encoder takes ten times as long.
        members = [b'"%s":"%%s"' % key.encode() for key in self.hashed_keys]
        members += [b'"%s":%%s' % EXTERNAL_ID.key.encode()] if self.external_id_bytes else []
        template = b"{%s}" % b",".join(members)
        step = _ROWS_AT_ONCE * self.width
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            rows = b",".join([template] * (len(piece) // self.width)) % tuple(self._format_values(piece))
            yield b"," + rows if start else rows

    def _format_values(self, data: bytes) -> list[bytes]:
        """Return the JSON values of all keys in encoded rows of this shape, row by row."""
        if not self.external_id_bytes:
            return hexlify(data, b",", DIGEST_BYTES).split(b",")
        digests, padded = zip(*iter_unpack(f"{self.digest_bytes}s{self.external_id_bytes}s", data), strict=True)
        in_hex = hexlify(b"".join(digests), b",", DIGEST_BYTES).split(b",")
        hashed_count = len(self.hashed_keys)
        # No external id contains a comma.
        external_ids = json.dumps([each.rstrip(b"\0").decode() for each in padded])[1:-1].encode().split(b", ")
        by_key = [*(in_hex[place::hashed_count] for place in range(hashed_count)), external_ids]
        return [*chain.from_iterable(zip(*by_key, strict=True))]

    def split_identifiers(self, row: bytes) -> list[bytes]:
        """Return a digest of each identifier in a row, for comparison with lists, even if it is sent unhashed."""
        digests = [row[start : start + DIGEST_BYTES] for start in range(0, self.digest_bytes, DIGEST_BYTES)]
        if self.external_id_bytes:
            external_id = compute_comparable_digest(EXTERNAL_ID, row[self.digest_bytes :].rstrip(b"\0"))
            return [*digests[: len(self.hashed_keys)], external_id]
        return digests

    def strip_identifiers(self, row: bytes, identifiers: Container[bytes]) -> tuple[int, bytes] | None:
        """Return the new shape's number and the row without these identifiers, or None if no identifier is left."""
        bits = [bit for bit in _BITS if self.number & bit]
        own = zip(bits, self.split_identifiers(row), strict=True)
        left = {bit: identifier for bit, identifier in own if identifier not in identifiers}
        number = sum(left)
        if left.pop(_EXTERNAL_ID, None):
            number += self.external_id_bytes * _LENGTH_UNIT
            return number, _add_first_digest(b"".join(left.values()) + row[self.digest_bytes :], number)
        return (number, b"".join(left.values())) if left else None


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPart:
    """The records to send for `count` consecutive rows of a block, encoded as bytes.

    `rows` and `shapes` (their numbers, 0: no valid key) have an entry for each row, or, if a key has several values,
    for each combination of values; `positions` are the rows that the entries belong to.
    """

    count: int
    rows: list[bytes]
    shapes: list[int]
    positions: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedRows:
    """The rows of one block as they are sent, encoded as bytes, and those that were rejected.

    `parts`: all rows, to be iterated once. `valid_count`: how many have a valid key. `rejected`: position (from 0) and
    reason of each other row. `rejected_keys`: how often each reason rejected a key of a valid row.
    """

    parts: Iterator[EncodedPart]
    valid_count: int
    rejected: list[tuple[int, Reason]]
    rejected_keys: Counter[Reason]


def group_by_shape(rows: Sequence[bytes], shapes: Sequence[int]) -> dict[Shape, Sequence[bytes]]:
    """Return encoded rows grouped by shape. `shapes`: the number of each row's shape, 0 to leave the row out."""
    different = {*shapes}
    if len(different) == 1 and 0 not in different:
        return {Shape(*different): rows}
    return {Shape(number): [*compress(rows, map(number.__eq__, shapes))] for number in different if number}


def encode_rows(by_column: Sequence[ColumnKeys], *, count: int) -> EncodedRows:
    """Return the `count` rows of a block as they are sent, encoded as bytes from the identifiers in each column.

    A row without a valid key gets one reason: a null tells only that it has no such key, so any other reason precedes.
    """
    by_column = sorted(by_column, key=lambda keys: _find_key_bit(keys.column))
    bits = [_find_key_bit(column.column) for column in by_column]
    reasons: defaultdict[int, list[Reason]] = defaultdict(list)
    for column in by_column:
        for position, reason in column.rejected:
            reasons[position].append(reason)
    if all(column.rows is None for column in by_column):
        shapes = [sum(bits)] * count
        for bit, column in zip(bits, by_column, strict=True):
            for position, _ in column.rejected:
                shapes[position] -= bit
        valid = {position for position in reasons if shapes[position]}
        keys = zip(*(column.keys for column in by_column), strict=True)
        parts = iter([_encode_part(keys, shapes, range(count), count)])
    else:
        values = [*zip(*(column.group_by_row(count) for column in by_column), strict=True)]
        for position, of_row in enumerate(values):
            if prod(max(len(of_key), 1) for of_key in of_row) > MOST_COMBINATIONS:
                values[position], reasons[position] = (), [Reason.TOO_MANY_COMBINATIONS]
        valid = {position for position in reasons if any(values[position])}
        parts = _encode_combinations(bits, values)
    rejected = [
        (position, next((reason for reason in reasons[position] if reason is not Reason.NULL), Reason.NULL))
        for position in sorted(reasons.keys() - valid)
    ]
    rejected_keys = Counter(reason for position in valid for reason in reasons[position])
    del rejected_keys[Reason.NULL]
    return EncodedRows(parts=parts, valid_count=count - len(rejected), rejected=rejected, rejected_keys=rejected_keys)


def _find_key_bit(column: Column) -> int:
    """Return the bit for a column's type of identifier, in the bit mask of the types that a row has (its shape)."""
    return _BITS[_HASHED_KEYS.index(column.type.key)] if column.type.is_hashed else _EXTERNAL_ID


def _encode_part(
    keys: Iterable[tuple[bytes, ...]], shapes: list[int], positions: Sequence[int], count: int
) -> EncodedPart:
    """Return a part of a block, with each row's keys joined to bytes. Adds the lengths of external ids to `shapes`."""
    if any(shape & _EXTERNAL_ID for shape in {*shapes}):
        rows = []
        for position, of_row in enumerate(keys):
            row = b"".join(of_row)
            if shapes[position] & _EXTERNAL_ID:
                length = len(of_row[-1])
                padding = max(_SHORTEST_EXTERNAL_ID, 1 << (length - 1).bit_length()) - length
                shapes[position] += (length + padding) * _LENGTH_UNIT
                row = _add_first_digest(row + bytes(padding), shapes[position])
            rows.append(row)
    else:
        rows = [*map(b"".join, keys)]
    return EncodedPart(count=count, rows=rows, shapes=shapes, positions=positions)


def _add_first_digest(row: bytes, number: int) -> bytes:
    """Return a row, preceded by a digest that is not sent if no key in the shape with this number is hashed."""
    return row if number % _EXTERNAL_ID else sha256(row).digest() + row


def _encode_combinations(bits: Sequence[int], values: Sequence[Sequence[Sequence[bytes]]]) -> Iterator[EncodedPart]:
    """Yield encoded rows, one for each combination of a row's values. Only a row's first one counts as a record."""
    keys: list[tuple[bytes, ...]] = []
    positions: list[int] = []
    shapes: list[int] = []
    first = 0
    for row, of_row in enumerate(values):
        if len(shapes) >= _COMBINATIONS_AT_ONCE:
            yield _encode_part(keys, shapes, positions, row - first)
            keys, positions, shapes, first = [], [], [], row
        if any(of_row):
            keys += product(*(sorted(of_key) or [b""] for of_key in of_row))
            extra_count = len(keys) - len(shapes) - 1
            shape = sum(compress(bits, of_row))
            shapes += [shape, *[shape + _EXTRA] * extra_count]
            positions += [row - first] * (1 + extra_count)
    yield _encode_part(keys, shapes, positions, len(values) - first)


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows that are sent in one request, as `records_v2`. `parts`: pairs of a shape and its rows in one string."""

    parts: Sequence[tuple[Shape, bytes]]

    def __len__(self) -> int:
        return sum(len(data) // shape.width for shape, data in self.parts)

    @property
    def record_count(self) -> int:
        """The number of records in the batch, without further combinations of the values in a query's row."""
        return sum(len(data) // shape.width for shape, data in self.parts if not shape.is_extra)

    def split(self, size: int) -> "list[RowBatch]":
        """Return smaller batches of the same rows, with up to `size` rows in each."""
        return [*make_batches(self.parts, size)]

    def make_json_chunks(self) -> Iterator[bytes]:
        """Yield chunks of the JSON text of the member `records_v2` in a request's body."""
        yield b'"records_v2":['
        for number, (shape, data) in enumerate(self.parts):
            if number:
                yield b","
            yield from shape.make_json_chunks(data)
        yield b"]"


def make_batches(chunks: Iterable[tuple[Shape, bytes]], size: int) -> Iterator[RowBatch]:
    """Yield batches of up to `size` rows and limited length. `chunks`: pairs of a shape and its rows in one string."""
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
