"""Encode rows with several keys: a row of the query becomes a record with all its keys, sent as `records_v2`.

Records with the same layout have the same length: they are sorted, compared and written as JSON many at a time.
"""

import json
from binascii import hexlify
from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from itertools import chain, product
from struct import iter_unpack
from typing import Any, NamedTuple

from td_pinterest_op.identifiers.identifier_types import EXTERNAL_ID
from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.digests import DIGEST_BYTES

_SHORTEST_EXTERNAL_ID = 16


class RecordLayout(NamedTuple):
    """Which keys encoded records have, and their length. The default: a single digest, of its customer list's type.

    An encoded record consists of its digests in the order of `keys`, then its external id, padded with NUL, which no
    valid id contains. If it has no digest, the SHA-256 of its external id comes first, to sort it by.
    """

    keys: tuple[str, ...] = ()  # of the digests, such as "email"; empty for a single digest
    id_length: int = 0  # bytes of the external id with its padding; 0 without one
    is_extra: bool = False  # a further combination of a row's values, which does not count as a record of its own

    @property
    def digest_bytes(self) -> int:
        """The number of bytes of a record before its external id: its digests, or the external id's hash instead."""
        return max(1, len(self.keys)) * DIGEST_BYTES

    @property
    def width(self) -> int:
        """The number of bytes of an encoded record."""
        return self.digest_bytes + self.id_length

    @property
    def json_width(self) -> int:
        """The most bytes that a record takes in a request's JSON, if no character of its external id is escaped."""
        return len(self.format_for_request(bytes(self.width))) + len(",") + self.id_length

    def format_for_request(self, data: bytes) -> bytes:
        """Return joined records (`data`) as JSON, with commas between: as objects, or in hex for single digests."""
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
"""The identifiers of a row, by column: one identifier or b"", or lists of them if any column is an array."""


def encode_rows(columns: Sequence[Column], rows: Sequence[Row]) -> Mapping[RecordLayout, list[bytes]]:
    """Return the encoded records to send for rows, by layout: a record for each row that has an identifier.

    A row with arrays becomes a record for each combination of its values, one from every column. The first combination
    in sort order counts as the row; the layout of the others has `is_extra`. `columns`: the columns of the identifiers
    in each row, in the order of `find_people_columns`.
    """
    keys = tuple(column.type.key for column in columns)
    have_arrays = any(column.is_array for column in columns)
    groups: defaultdict[RecordLayout, list[bytes]] = defaultdict(list)
    if not have_arrays and EXTERNAL_ID.key not in keys:
        # Most rows have all keys, and are encoded at once.
        if complete := [b"".join(row) for row in rows if b"" not in row]:
            groups[RecordLayout(keys)] = complete
        rows = [row for row in rows if b"" in row]
    # The others one by one: the keys and the length of each combination choose its layout.
    for row in filter(any, rows):
        combinations = product(*(sorted(values) or [b""] for values in row)) if have_arrays else [row]
        for number, combination in enumerate(combinations):
            present = [(key, identifier) for key, identifier in zip(keys, combination, strict=True) if identifier]
            external_id = present.pop()[1] if present[-1][0] == EXTERNAL_ID.key else b""
            digests = b"".join(identifier for _, identifier in present)
            id_length = max(_SHORTEST_EXTERNAL_ID, 1 << (len(external_id) - 1).bit_length()) if external_id else 0
            padded = external_id.ljust(id_length, b"\0")
            layout = RecordLayout(tuple(key for key, _ in present), id_length, number > 0)
            groups[layout].append((digests or sha256(padded).digest()) + padded)
    return groups
