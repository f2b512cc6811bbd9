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
from typing import NamedTuple

from td_pinterest_op.identifiers.identifier_types import EXTERNAL_ID, TYPES
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnIdentifiers, compute_comparable_digest

_KEYS = list(dict.fromkeys(type_.key for type_ in TYPES.values()))
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
        return b",".join([template] * (len(data) // self.width)) % tuple(self._format_values(data))

    def _format_values(self, data: bytes) -> list[bytes]:
        """Return the identifiers of encoded records, one after the other: digests in hex, external ids in JSON."""
        if not self.id_length:
            return hexlify(data, b",", DIGEST_BYTES).split(b",")
        digests, padded = zip(*iter_unpack(f"{self.digest_bytes}s{self.id_length}s", data), strict=True)
        in_hex = hexlify(b"".join(digests), b",", DIGEST_BYTES).split(b",")
        # No external id contains a comma.
        external_ids = [external_id.rstrip(b"\0").decode() for external_id in padded]
        in_json = json.dumps(external_ids, ensure_ascii=False)[1:-1].encode().split(b", ")
        by_key = [in_hex[place :: len(self.keys)] for place in range(len(self.keys))]
        return list(chain.from_iterable(zip(*by_key, in_json, strict=True)))

    def split_record(self, record: bytes) -> list[bytes]:
        """Return the digests and the external id of a record, in the order of their keys."""
        identifiers = [record[place * DIGEST_BYTES :][:DIGEST_BYTES] for place in range(len(self.keys))]
        if self.id_length:
            identifiers.append(record[self.digest_bytes :].rstrip(b"\0"))
        return identifiers

    def compute_comparable_digests(self, record: bytes) -> list[bytes]:
        """Return a digest of each identifier of a record, to compare with opt-outs."""
        identifiers = self.split_record(record)
        if self.id_length:
            identifiers[-1] = compute_comparable_digest(EXTERNAL_ID, identifiers[-1])
        return identifiers

    def strip_identifiers(self, record: bytes, lost: Container[bytes]) -> "EncodedRecord | None":
        """Return a record without the identifiers whose comparable digests are `lost`, or None if none is left."""
        keys = (*self.keys, EXTERNAL_ID.key) if self.id_length else self.keys
        identifiers = self.split_record(record)
        left = [
            b"" if digest in lost else identifier
            for identifier, digest in zip(identifiers, self.compute_comparable_digests(record), strict=True)
        ]
        return encode_record(keys, left) if any(left) else None


SINGLE_DIGEST = RecordLayout()
"""The layout of identifiers that are sent alone, as digests."""

EncodedRecord = tuple[RecordLayout, bytes]


class Group(NamedTuple):
    """Records with the same layout, and for each of them the row of a block that it belongs to."""

    positions: list[int]
    records: list[bytes]


Groups = Mapping[RecordLayout, Group]
"""The records to send for the rows of a block: one for each row, or one for each combination of its values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedRows:
    """The records of one block, encoded as bytes, and the rows that were rejected."""

    groups: Groups
    rejected: list[tuple[int, Reason]]  # position (from 0) and reason of each row without a valid key
    rejected_keys: Counter[Reason]  # how often each reason rejected a key of a valid row


def encode_record(keys: Sequence[str], identifiers: Sequence[bytes]) -> EncodedRecord:
    """Return a record's layout and its bytes. `identifiers`: one for each of `keys`, in their order, b"" for none."""
    present = [(key, identifier) for key, identifier in zip(keys, identifiers, strict=True) if identifier]
    external_id = present.pop()[1] if present[-1][0] == EXTERNAL_ID.key else b""
    digests = b"".join(identifier for _, identifier in present)
    id_length = max(_SHORTEST_EXTERNAL_ID, 1 << (len(external_id) - 1).bit_length()) if external_id else 0
    padded = external_id.ljust(id_length, b"\0")
    layout = RecordLayout(tuple(key for key, _ in present), id_length)
    return layout, (digests or sha256(padded).digest()) + padded


def encode_rows(by_column: Sequence[ColumnIdentifiers], *, count: int) -> EncodedRows:
    """Return a block's `count` rows, encoded as records, and the rejected rows. `by_column`: identifiers by column.

    A row without a valid key is rejected for one reason. The reason is NULL only if all its identifiers are null.
    """
    by_column = sorted(by_column, key=lambda column: _KEYS.index(column.column.type.key))
    keys = [column.column.type.key for column in by_column]
    reasons: defaultdict[int, list[Reason]] = defaultdict(list)
    for column in by_column:
        for position, reason in column.rejected:
            reasons[position].append(reason)
    if all(column.rows is None for column in by_column):
        rows = list(zip(*(column.identifiers for column in by_column), strict=True))
        valid = {position for position in reasons if any(rows[position])}
        groups = _encode_single_values(keys, rows, incomplete=reasons.keys())
    else:
        arrays = list(zip(*(column.group_by_row(count) for column in by_column), strict=True))
        for position, row in enumerate(arrays):
            if prod(max(len(values), 1) for values in row) > MOST_COMBINATIONS:
                arrays[position] = ()
                reasons[position] = [Reason.TOO_MANY_COMBINATIONS]
        valid = {position for position in reasons if any(arrays[position])}
        groups = _encode_combinations(keys, arrays)
    rejected = []
    for position in sorted(reasons.keys() - valid):
        given = [reason for reason in reasons[position] if reason is not Reason.NULL]
        rejected.append((position, given[0] if given else Reason.NULL))
    rejected_keys = Counter(reason for position in valid for reason in reasons[position])
    del rejected_keys[Reason.NULL]
    return EncodedRows(groups=groups, rejected=rejected, rejected_keys=rejected_keys)


def _encode_single_values(
    keys: Sequence[str], rows: Sequence[Sequence[bytes]], *, incomplete: Container[int]
) -> Groups:
    """Encode rows with at most one value for each key. `incomplete`: the positions of rows that lack a key."""
    groups: defaultdict[RecordLayout, Group] = defaultdict(lambda: Group([], []))
    positions: Sequence[int] = range(len(rows))
    if EXTERNAL_ID.key not in keys:
        # Most rows have all keys, and are encoded at once.
        complete = [position for position in positions if position not in incomplete]
        if complete:
            groups[RecordLayout(tuple(keys))] = Group(complete, [b"".join(rows[position]) for position in complete])
        positions = [position for position in positions if position in incomplete]
    for position in positions:
        if any(rows[position]):
            layout, record = encode_record(keys, rows[position])
            groups[layout].positions.append(position)
            groups[layout].records.append(record)
    return groups


def _encode_combinations(keys: Sequence[str], rows: Sequence[Sequence[list[bytes]]]) -> Groups:
    """Encode each combination of values, one from every column of a row, as a record. The lowest is not extra."""
    groups: defaultdict[RecordLayout, Group] = defaultdict(lambda: Group([], []))
    for position, row in enumerate(rows):
        if any(row):
            for number, combination in enumerate(product(*(sorted(values) or [b""] for values in row))):
                layout, record = encode_record(keys, combination)
                layout = layout._replace(is_extra=number > 0)
                groups[layout].positions.append(position)
                groups[layout].records.append(record)
    return groups
