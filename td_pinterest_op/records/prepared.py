"""Prepared records: an export's unique records in ascending order, cut into the batches that requests send.

Records with the same layout have the same length: they are sorted, compared and written as JSON many at a time.
"""

import hashlib
import json
from binascii import hexlify
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, product
from struct import iter_unpack
from typing import Any, NamedTuple

from td_pinterest_op.identifiers.identifier_types import EMAIL, EXTERNAL_ID
from td_pinterest_op.records.columns import IdentifierColumn
from td_pinterest_op.records.digests import DIGEST_BYTES
from td_pinterest_op.records.spool import Spool

_NARROWEST_EXTERNAL_ID_SLOT = 16
_MOST_BUFFERED_BYTES = 4 << 20  # in memory, over all layouts
# About the most in a request of rows: other vendors' connectors keep to it, and Pinterest names no limit. Single
# digests, which are short, are limited by `limit_records_per_request` alone.
_MAX_BATCH_JSON_BYTES = 1_000_000


class RecordLayout(NamedTuple):
    """Which keys encoded records have, and their length. The default: a single digest.

    An encoded record consists of its digests in the order of `keys`, then its external id, padded with NUL, which no
    valid id contains. Without a digest, it begins with the SHA-256 of its external id, to sort it by.
    """

    keys: tuple[str, ...] = ()  # the digests' keys, such as "email"; empty for a single digest
    id_length: int = 0  # bytes of the external id with its padding; 0 without one
    is_extra: bool = False  # a further combination of a row's values, which is not counted

    @property
    def digests_width(self) -> int:
        """The length of a record in bytes, without its external id."""
        return max(1, len(self.keys)) * DIGEST_BYTES

    @property
    def width(self) -> int:
        """The length of an encoded record in bytes."""
        return self.digests_width + self.id_length

    @property
    def largest_json_width(self) -> int:
        """The most bytes that a record and a comma take in JSON, if no character of its external id is escaped."""
        return len(self.format_as_json(bytes(self.width))) + 1 + self.id_length

    def format_as_json(self, joined_records: bytes) -> bytes:
        """Return joined records as JSON objects, or single digests in hex, with commas between."""
        # Built by hand: digests need no escapes, and a JSON encoder takes ten times as long.
        if self == SINGLE_DIGEST_LAYOUT:
            return hexlify(joined_records, b",", DIGEST_BYTES)
        members = [b'"%s":"%%s"' % key.encode() for key in self.keys]
        if not self.id_length:
            values = hexlify(joined_records, b",", DIGEST_BYTES).split(b",")
        else:
            members.append(b'"%s":%%s' % EXTERNAL_ID.key.encode())
            digests, padded = zip(*iter_unpack(f"{self.digests_width}s{self.id_length}s", joined_records), strict=True)
            in_hex = hexlify(b"".join(digests), b",", DIGEST_BYTES).split(b",")
            # No external id contains a comma.
            external_ids = [each.rstrip(b"\0").decode() for each in padded]
            in_json = json.dumps(external_ids, ensure_ascii=False)[1:-1].encode().split(b", ")
            by_key = [in_hex[place :: len(self.keys)] for place in range(len(self.keys))]
            values = list(chain.from_iterable(zip(*by_key, in_json, strict=True)))
        template = b"{%s}" % b",".join(members)
        return b",".join([template] * (len(joined_records) // self.width)) % tuple(values)


SINGLE_DIGEST_LAYOUT = RecordLayout()
"""The layout of identifiers that are sent alone, as digests."""

RowIdentifiers = Sequence[Any]
"""A row's identifiers by column, b"" for none. If any column is an array, they are in lists."""


def encode_rows(
    columns: Sequence[IdentifierColumn], rows: Sequence[RowIdentifiers]
) -> Mapping[RecordLayout, list[bytes]]:
    """Return encoded records by layout: one for each row that has an identifier.

    A row with arrays becomes a record for each combination of its values, one from every column. The first in sort
    order counts as the row; the layout of the others has `is_extra`. `columns`: in the order of `find_people_columns`.
    """
    keys = tuple(column.type.key for column in columns)
    have_arrays = any(column.is_array for column in columns)
    groups: defaultdict[RecordLayout, list[bytes]] = defaultdict(list)
    if not have_arrays and EXTERNAL_ID.key not in keys:
        # Most rows have all keys, and are encoded at once.
        if complete := [b"".join(row) for row in rows if b"" not in row]:
            groups[RecordLayout(keys)] = complete
        rows = [row for row in rows if b"" in row]
    for row in filter(any, rows):
        combinations = product(*(sorted(values) or [b""] for values in row)) if have_arrays else [row]
        for number, combination in enumerate(combinations):
            present = [(key, identifier) for key, identifier in zip(keys, combination, strict=True) if identifier]
            external_id = present.pop()[1] if present[-1][0] == EXTERNAL_ID.key else b""
            digests = b"".join(identifier for _, identifier in present)
            id_length = max(_NARROWEST_EXTERNAL_ID_SLOT, 1 << (len(external_id) - 1).bit_length()) if external_id else 0
            padded = external_id.ljust(id_length, b"\0")
            layout = RecordLayout(tuple(key for key, _ in present), id_length, number > 0)
            groups[layout].append((digests or hashlib.sha256(padded).digest()) + padded)
    return groups


@dataclass(frozen=True)
class Batch:
    """The records of one request."""

    parts: Sequence[tuple[RecordLayout, bytes]]  # a layout and its joined records

    def __len__(self) -> int:
        return sum(len(data) // layout.width for layout, data in self.parts)

    @property
    def has_named_keys(self) -> bool:
        """Whether the records are rows with named keys, sent as `records_v2`, not single digests."""
        return any(layout != SINGLE_DIGEST_LAYOUT for layout, _ in self.parts)

    @property
    def record_count(self) -> int:
        """The number of records. A row that became several counts once."""
        return sum(len(data) // layout.width for layout, data in self.parts if not layout.is_extra)

    def split(self, size: int) -> "list[Batch]":
        """Return batches of the same records, up to `size` in each."""
        return list(_build_batches(self.parts, size))

    def iterate_json_field(self) -> Iterator[bytes]:
        """Yield the member `records` or `records_v2` of a request's JSON, in pieces."""
        opening, closing = (b'"records_v2":[', b"]") if self.has_named_keys else (b'"records":"', b'"')
        for number, (layout, data) in enumerate(self.parts):
            yield b"," if number else opening
            yield layout.format_as_json(data)
        yield closing


def _build_batches(chunks: Iterable[tuple[RecordLayout, Any]], size: int) -> Iterator[Batch]:
    """Yield batches of up to `size` records. A batch of rows ends at about 1 MB of JSON, if that comes first.

    `chunks`: pairs of a layout and joined records or, to count batches, a range as long as these.
    """
    parts: list[tuple[RecordLayout, bytes]] = []
    records_left = size
    json_left = _MAX_BATCH_JSON_BYTES
    for layout, chunk in chunks:
        json_width = layout.largest_json_width if layout != SINGLE_DIGEST_LAYOUT else 0
        start = 0
        while start < len(chunk):
            fitting = min(records_left, json_left // json_width) if json_width else records_left
            if parts and not fitting:
                yield Batch(parts)
                parts = []
                records_left = size
                json_left = _MAX_BATCH_JSON_BYTES
                continue
            piece = chunk[start : start + max(fitting, 1) * layout.width]
            parts.append((layout, piece))
            start += len(piece)
            records_left -= len(piece) // layout.width
            json_left -= len(piece) // layout.width * json_width
    if parts:
        yield Batch(parts)


@dataclass(frozen=True)
class PreparedRecords:
    """An export's unique records in temporary files, ready to send. Reading them may raise OSError."""

    files: Mapping[RecordLayout, Spool] = field(default_factory=dict)
    list_type: str = EMAIL.list_type  # that of a customer list that is created for the records

    @property
    def record_count(self) -> int:
        """The number of unique records. A row that became several counts once."""
        return sum(file.unique_count for layout, file in self.files.items() if not layout.is_extra)

    @property
    def fingerprint(self) -> str:
        """The `compute_fingerprint` of the records, which tells whether they are the same as others."""
        chunks: list[Iterable[bytes]] = []
        for layout, file in self.files.items():
            if layout != SINGLE_DIGEST_LAYOUT:
                chunks.append([f"{layout} {file.unique_count} ".encode()])
            chunks.append(file.read_sorted_chunks())
        return compute_fingerprint(chain.from_iterable(chunks))

    def count_batches(self, size: int) -> int:
        """Return how many batches `read_batches` yields. No file is read."""
        chunks = ((layout, range(file.unique_count * layout.width)) for layout, file in self.files.items())
        return sum(1 for _ in _build_batches(chunks, size))

    def read_batches(self, size: int) -> Iterator[Batch]:
        """Yield batches of up to `size` records, fewer if they are long: the same in each call."""
        chunks = ((layout, chunk) for layout, file in self.files.items() for chunk in file.read_sorted_chunks())
        return _build_batches(chunks, size)


class RowSpool:
    """Collects encoded records of rows in spools (sorting temporary files), one for each layout.

    External ids, which are no digests, are encrypted. After an OSError only `close` works. `suffix_bytes`: the length
    of what the caller puts at the end of each record; records that differ only there are no repeats.
    """

    def __init__(self, *, suffix_bytes: int = 0) -> None:
        self.spools: dict[RecordLayout, Spool] = {}
        self._suffix_bytes = suffix_bytes

    def close(self) -> None:
        """Delete the temporary files. May be called again."""
        for spool in self.spools.values():
            spool.close()

    def add(self, layout: RecordLayout, records: Sequence[bytes]) -> None:
        """Add encoded records, all of the same layout."""
        if layout not in self.spools:
            self.spools[layout] = Spool(layout.width + self._suffix_bytes, encrypted=layout.id_length > 0)
        self.spools[layout].add(records)
        if sum(spool.buffered_bytes for spool in self.spools.values()) > _MOST_BUFFERED_BYTES:
            max(self.spools.values(), key=lambda spool: spool.buffered_bytes).write_buffers()

    def finish(self) -> PreparedRecords:
        """Return the unique records in ascending order."""
        for spool in self.spools.values():
            spool.finish()
        # Sorted, so that the order does not depend on which row came first.
        return PreparedRecords(dict(sorted(self.spools.items())))


def compute_fingerprint(chunks: Iterable[bytes] = ()) -> str:
    """Return eight hex digits of the SHA-256 of records, which `chunks` has in ascending order."""
    sha = hashlib.sha256()
    for chunk in chunks:
        sha.update(chunk)
    return sha.hexdigest()[:8]
