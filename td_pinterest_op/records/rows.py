"""Rows with several keys: a row of the query → one record with all its keys, as `records_v2` sends it.

Records with the same keys have the same length: they are sorted, compared and written as JSON many at a time.
"""

import json
from binascii import hexlify
from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, product
from math import prod
from struct import iter_unpack
from typing import Any, NamedTuple

from td_pinterest_op.identifiers.identifier_types import EXTERNAL_ID
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnIdentifiers, compute_comparable_digest

_SHORTEST_EXTERNAL_ID = 16
MOST_COMBINATIONS = 1_000
"""A row with more combinations of its values is invalid: nobody has that many, and memory must stay flat."""


class RecordLayout(NamedTuple):
    """The layout that records share. By default, each is a single digest, and the type of its list tells the key.

    A record consists of its digests in the order of `keys`, then its external id, padded with NUL, which no valid id
    contains. If it has no digest, the SHA-256 of the rest comes first, to sort it by.
    """

    keys: tuple[str, ...] = ()  # of the digests
    id_length: int = 0  # bytes of the external id with its padding; 0 without one
    is_extra: bool = False  # a further combination of a row's values, which does not count as a record of its own

    @property
    def key_count(self) -> int:
        """The number of keys that a record has as it is sent."""
        return len(self.keys) + (self.id_length > 0)

    @property
    def digest_bytes(self) -> int:
        """The number of bytes in front of the external id."""
        return max(1, len(self.keys)) * DIGEST_BYTES

    @property
    def width(self) -> int:
        """The number of bytes of a record."""
        return self.digest_bytes + self.id_length

    @property
    def json_width(self) -> int:
        """The number of bytes that a record takes in a request, at most, unless its external id needs escapes."""
        return len(self.format_for_request(bytes(self.width))) + len(",") + self.id_length

    def format_for_request(self, data: bytes) -> bytes:
        """Return encoded records (`data`) as JSON for the field `records_v2` (objects) or `records` (text)."""
        # Put together by hand: digests need no escapes, and a JSON encoder takes ten times as long.
        if self == SINGLE_DIGEST:
            return hexlify(data, b",", DIGEST_BYTES)
        members = [b'"%s":"%%s"' % key.encode() for key in self.keys]
        if self.id_length:
            members.append(b'"%s":%%s' % EXTERNAL_ID.key.encode())
        template = b"{%s}" % b",".join(members)
        if not self.id_length:
            values = hexlify(data, b",", DIGEST_BYTES).split(b",")
        else:
            digests, padded = zip(*iter_unpack(f"{self.digest_bytes}s{self.id_length}s", data), strict=True)
            in_hex = hexlify(b"".join(digests), b",", DIGEST_BYTES).split(b",")
            # No external id contains a comma.
            external_ids = [external_id.rstrip(b"\0").decode() for external_id in padded]
            in_json = json.dumps(external_ids, ensure_ascii=False)[1:-1].encode().split(b", ")
            by_key = [in_hex[place :: len(self.keys)] for place in range(len(self.keys))]
            values = list(chain.from_iterable(zip(*by_key, in_json, strict=True)))
        return b",".join([template] * (len(data) // self.width)) % tuple(values)


SINGLE_DIGEST = RecordLayout()
"""The layout of identifiers that are sent alone, as digests."""

Row = Sequence[Any]
"""The identifiers of a row for each key: one or b"", or a list if any column is an array."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRows:
    """The rows of one block, and those of them that were rejected."""

    rows: list[Row]
    rejected: list[tuple[int, Reason]]  # position (from 0) and reason of each row without a valid key
    rejected_keys: Counter[Reason]  # how often each reason rejected a key of a valid row


def collect_rows(by_column: Sequence[ColumnIdentifiers], *, count: int) -> BlockRows:
    """Return a block's `count` rows, and the rejected ones. `by_column`: identifiers by column.

    A row without a valid key is rejected for one reason. The reason is NULL only if all its identifiers are null.
    """
    reasons: defaultdict[int, list[Reason]] = defaultdict(list)
    for column in by_column:
        for position, reason in column.rejected:
            reasons[position].append(reason)
    rows: list[Row] = []
    if all(column.rows is None for column in by_column):
        rows += zip(*(column.identifiers for column in by_column), strict=True)
    else:
        rows += zip(*(column.group_by_row(count) for column in by_column), strict=True)
        for position, row in enumerate(rows):
            if prod(max(len(values), 1) for values in row) > MOST_COMBINATIONS:
                rows[position] = [[] for _ in row]
                reasons[position] = [Reason.TOO_MANY_COMBINATIONS]
    valid = {position for position in reasons if any(rows[position])}
    rejected = []
    for position in sorted(reasons.keys() - valid):
        given = [reason for reason in reasons[position] if reason is not Reason.NULL]
        rejected.append((position, given[0] if given else Reason.NULL))
    rejected_keys = Counter(reason for position in valid for reason in reasons[position])
    del rejected_keys[Reason.NULL]
    return BlockRows(rows=rows, rejected=rejected, rejected_keys=rejected_keys)


def strip_row(columns: Sequence[Column], row: Row, to_strip: Container[bytes]) -> Row:
    """Return a row without the identifiers whose comparable digests are in `to_strip`."""
    left: list[Any] = []
    for column, given in zip(columns, row, strict=True):
        is_array = isinstance(given, list)
        values = given if is_array else [given]
        kept = [value for value in values if compute_comparable_digest(column.type, value) not in to_strip]
        left.append(kept if is_array else b"".join(kept))
    return left


def encode_rows(columns: Sequence[Column], rows: Sequence[Row]) -> Mapping[RecordLayout, list[bytes]]:
    """Return the records to send for rows, encoded, by layout: one for each row that has an identifier.

    Rows with arrays become a record for each combination of values, one from every column. The first in
    sort order counts as the row, the others count as extra.
    `columns`: of the row's identifiers, as `find_row_columns` orders them.
    """
    keys = tuple(column.type.key for column in columns)
    groups: defaultdict[RecordLayout, list[bytes]] = defaultdict(list)
    if any(column.is_array for column in columns):
        for row in filter(any, rows):
            for number, combination in enumerate(product(*(sorted(values) or [b""] for values in row))):
                layout, record = _encode_record(keys, combination)
                groups[layout._replace(is_extra=number > 0)].append(record)
        return groups
    if EXTERNAL_ID.key not in keys:
        # Most rows have all keys, and are encoded at once.
        if complete := [b"".join(row) for row in rows if b"" not in row]:
            groups[RecordLayout(keys)] = complete
        rows = [row for row in rows if b"" in row]
    for row in filter(any, rows):
        layout, record = _encode_record(keys, row)
        groups[layout].append(record)
    return groups


def _encode_record(keys: Sequence[str], identifiers: Sequence[bytes]) -> tuple[RecordLayout, bytes]:
    """Return a record's layout and its bytes. `identifiers`: one for each of `keys`, in their order, b"" for none."""
    present = [(key, identifier) for key, identifier in zip(keys, identifiers, strict=True) if identifier]
    external_id = present.pop()[1] if present[-1][0] == EXTERNAL_ID.key else b""
    digests = b"".join(identifier for _, identifier in present)
    id_length = max(_SHORTEST_EXTERNAL_ID, 1 << (len(external_id) - 1).bit_length()) if external_id else 0
    padded = external_id.ljust(id_length, b"\0")
    layout = RecordLayout(tuple(key for key, _ in present), id_length)
    return layout, (digests or sha256(padded).digest()) + padded
