"""Rows with several keys: a row of the query → one record with all its keys, as `records_v2` sends it.

Rows with the same keys have the same length: they are sorted, compared and written as JSON many at a time.
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

from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.identifiers.types import EXTERNAL_ID, TYPES
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnKeys, compute_comparable_digest

# A layout is a number: a bit for each key, above them the length of its (padded) external ids, and EXTRA_COMBINATION.
_BITS = {key: 1 << place for place, key in enumerate(dict.fromkeys(type_.key for type_ in TYPES.values()))}
_EXTERNAL_ID = _BITS[EXTERNAL_ID.key]  # the highest
_LENGTH_UNIT = 2 * _EXTERNAL_ID
EXTRA_COMBINATION = 1 << 16
"""The bit for further combinations of the values of a row, which do not count as records of their own."""
_SHORTEST_EXTERNAL_ID = 16
_COMBINATIONS_AT_ONCE = 5_000  # in a part of a block; those of its last row may exceed it
MOST_COMBINATIONS = 1_000
"""A row with more combinations of its values is invalid: nobody has that many, and memory must stay flat."""


class RecordLayout(int):
    """The layout that records share, encoded as an int: which keys each record has, and how many bytes they take.

    A record consists of its digests in the order of the keys, then its external id, padded with NUL, which no valid id
    contains.
    """

    def __init__(self, number: int) -> None:
        self.hashed_keys = [key for key, bit in _BITS.items() if number % _EXTERNAL_ID & bit]
        self.key_count = (number % _LENGTH_UNIT).bit_count()
        self.digest_bytes = max(1, len(self.hashed_keys)) * DIGEST_BYTES
        self.external_id_bytes = number % EXTRA_COMBINATION // _LENGTH_UNIT  # with its padding
        self.width = self.digest_bytes + self.external_id_bytes
        self.is_extra = number >= EXTRA_COMBINATION

    def format_for_request(self, data: bytes) -> bytes:
        """Return encoded rows (`data`) as JSON for the request's field `records_v2` (objects) or `records` (text)."""
        # Put together by hand: digests need no escapes, and a JSON encoder takes ten times as long.
        if self == SINGLE_DIGEST:
            return hexlify(data, b",", DIGEST_BYTES)
        members = [b'"%s":"%%s"' % key.encode() for key in self.hashed_keys]
        members += [b'"%s":%%s' % EXTERNAL_ID.key.encode()] if self.external_id_bytes else []
        template = b"{%s}" % b",".join(members)
        return b",".join([template] * (len(data) // self.width)) % tuple(self._format_values(data))

    def _format_values(self, data: bytes) -> list[bytes]:
        """Return the identifiers of encoded rows, row by row: digests as hex text, external ids as JSON strings."""
        if not self.external_id_bytes:
            return hexlify(data, b",", DIGEST_BYTES).split(b",")
        digests, padded = zip(*iter_unpack(f"{self.digest_bytes}s{self.external_id_bytes}s", data), strict=True)
        in_hex = hexlify(b"".join(digests), b",", DIGEST_BYTES).split(b",")
        hashed_count = len(self.hashed_keys)
        # No external id contains a comma.
        external_ids = json.dumps([each.rstrip(b"\0").decode() for each in padded])[1:-1].encode().split(b", ")
        by_key = [*(in_hex[place::hashed_count] for place in range(hashed_count)), external_ids]
        return [*chain.from_iterable(zip(*by_key, strict=True))]

    def compute_comparable_digests(self, row: bytes) -> list[bytes]:
        """Return a digest of each identifier in a row, to compare with opt-outs. An external id is hashed for this."""
        digests = [row[start : start + DIGEST_BYTES] for start in range(0, self.digest_bytes, DIGEST_BYTES)]
        if self.external_id_bytes:
            external_id = compute_comparable_digest(EXTERNAL_ID, row[self.digest_bytes :].rstrip(b"\0"))
            return [*digests[: len(self.hashed_keys)], external_id]
        return digests

    def strip_identifiers(self, row: bytes, identifiers: Container[bytes]) -> tuple[int, bytes] | None:
        """Return a row's new layout (an int) and bytes without `identifiers` (digests), or None if nothing is left."""
        by_bit = zip((bit for bit in _BITS.values() if self & bit), self.compute_comparable_digests(row), strict=True)
        left = {bit: identifier for bit, identifier in by_bit if identifier not in identifiers}
        if not left:
            return None
        keys = sum(left)
        external_id = row[self.digest_bytes :] if left.pop(_EXTERNAL_ID, None) else b""
        number = keys + len(external_id) * _LENGTH_UNIT
        return number, _ensure_first_digest(b"".join(left.values()) + external_id, number)


SINGLE_DIGEST = RecordLayout(0)
"""The layout of identifiers that are sent alone, as digests: the type of their list tells the key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPart:
    """The records to send for `count` consecutive rows of a block, encoded as bytes."""

    count: int
    rows: list[bytes]  # one for each row or, if a key has several values, for each combination of values
    layouts: list[int]  # each record's layout number; 0 if there is no valid key
    positions: Sequence[int]  # the row that each record belongs to


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedRows:
    """The records of one block, encoded as bytes, and the rows that were rejected."""

    parts: Iterator[EncodedPart]  # all rows, to be iterated once
    rejected: list[tuple[int, Reason]]  # position (from 0) and reason of each row without a valid key
    rejected_keys: Counter[Reason]  # how often each reason rejected a key of a valid row


def encode_rows(column_keys: Sequence[ColumnKeys], *, count: int) -> EncodedRows:
    """Return a block's `count` rows, encoded as records, and the rejected rows. `column_keys`: identifiers by column.

    A row without a valid key is rejected for one reason. The reason is NULL only if all its identifiers are null.
    """
    column_keys = sorted(column_keys, key=lambda column: _BITS[column.column.type.key])
    bits = [_BITS[column.column.type.key] for column in column_keys]
    reasons: defaultdict[int, list[Reason]] = defaultdict(list)
    for column in column_keys:
        for position, reason in column.rejected:
            reasons[position].append(reason)
    if all(column.rows is None for column in column_keys):
        layouts = [sum(bits)] * count
        for bit, column in zip(bits, column_keys, strict=True):
            for position, _ in column.rejected:
                layouts[position] -= bit
        valid = {position for position in reasons if layouts[position]}
        keys = zip(*(column.keys for column in column_keys), strict=True)
        parts = iter([_encode_part(keys, layouts, range(count), count)])
    else:
        values = [*zip(*(column.group_by_row(count) for column in column_keys), strict=True)]
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
    return EncodedRows(parts=parts, rejected=rejected, rejected_keys=rejected_keys)


def _encode_part(
    keys: Iterable[tuple[bytes, ...]], layouts: list[int], positions: Sequence[int], count: int
) -> EncodedPart:
    """Encode the records of a block's next `count` rows. Adds the length of external ids to the numbers `layouts`."""
    rows = [*map(b"".join, keys)]
    has_external_ids = any(layout & _EXTERNAL_ID for layout in {*layouts})
    for position, layout in enumerate(layouts) if has_external_ids else ():
        if layout & _EXTERNAL_ID:
            row = rows[position]
            length = len(row) - (layout % _EXTERNAL_ID).bit_count() * DIGEST_BYTES
            padded_length = max(_SHORTEST_EXTERNAL_ID, 1 << (length - 1).bit_length())
            layouts[position] += padded_length * _LENGTH_UNIT
            rows[position] = _ensure_first_digest(row + bytes(padded_length - length), layout)
    return EncodedPart(count=count, rows=rows, layouts=layouts, positions=positions)


def _ensure_first_digest(row: bytes, layout_number: int) -> bytes:
    """Return an encoded row, preceded by its SHA-256 as a sort key if its layout (`layout_number`) has no digest."""
    return row if layout_number % _EXTERNAL_ID else sha256(row).digest() + row


def _encode_combinations(
    layout_bits: Sequence[int], values_by_row: Sequence[Sequence[Sequence[bytes]]]
) -> Iterator[EncodedPart]:
    """Yield parts of encoded rows. Each combination of values, one from every column of a row, becomes a record."""
    keys: list[tuple[bytes, ...]] = []
    positions: list[int] = []
    layouts: list[int] = []
    first = 0
    for row, of_row in enumerate(values_by_row):
        if len(layouts) >= _COMBINATIONS_AT_ONCE:
            yield _encode_part(keys, layouts, positions, row - first)
            keys, positions, layouts, first = [], [], [], row
        if any(of_row):
            keys += product(*(sorted(of_key) or [b""] for of_key in of_row))
            extra_count = len(keys) - len(layouts) - 1
            layout = sum(compress(layout_bits, of_row))
            layouts += [layout, *[layout + EXTRA_COMBINATION] * extra_count]
            positions += [row - first] * (1 + extra_count)
    yield _encode_part(keys, layouts, positions, len(values_by_row) - first)
