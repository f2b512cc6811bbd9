"""Prepared records: an export's unique records in ascending order, cut into the batches that requests send."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from td_pinterest_op.records.columns import choose_list_type
from td_pinterest_op.records.rows import SINGLE_DIGEST, RecordLayout
from td_pinterest_op.records.spool import SortedFile, Spool

_BUFFERED_BYTES = 4 << 20  # in memory, over all layouts
# Bytes of JSON in a request of rows, about: connectors of others keep to it, and Pinterest names no limit. The number
# of single digests, which are short, is limited by `limit_records_per_request` alone.
_MAX_JSON_BYTES = 1_000_000


@dataclass(frozen=True)
class Batch:
    """The records of one request. `parts`: pairs of a layout (keys and length) and the joined bytes of its records."""

    parts: Sequence[tuple[RecordLayout, bytes]]

    def __len__(self) -> int:
        return sum(len(data) // layout.width for layout, data in self.parts)

    @property
    def has_rows(self) -> bool:
        """Whether the records are rows with named keys, sent as `records_v2`. False for single digests."""
        return any(layout != SINGLE_DIGEST for layout, _ in self.parts)

    @property
    def record_count(self) -> int:
        """The number of records. A row that was split into several records counts once."""
        return sum(len(data) // layout.width for layout, data in self.parts if not layout.is_extra)

    def split(self, size: int) -> "list[Batch]":
        """Return smaller batches of the same records, with up to `size` records in each."""
        return list(_make_batches(self.parts, size))

    def make_json_chunks(self) -> Iterator[bytes]:
        """Yield the JSON text of the records in chunks: the member `records` or `records_v2` of a request's body."""
        opening, closing = (b'"records_v2":[', b"]") if self.has_rows else (b'"records":"', b'"')
        for number, (layout, data) in enumerate(self.parts):
            yield b"," if number else opening
            yield layout.format_for_request(data)
        yield closing


def _make_batches(chunks: Iterable[tuple[RecordLayout, Any]], size: int) -> Iterator[Batch]:
    """Yield batches of up to `size` records. A batch of rows ends at about 1 MB of JSON, if that comes first.

    `chunks`: pairs of a layout and joined records. To count batches, a range as long as the records may replace them.
    """
    parts: list[tuple[RecordLayout, bytes]] = []
    records_left = size
    json_left = _MAX_JSON_BYTES
    for layout, chunk in chunks:
        json_width = layout.json_width if layout != SINGLE_DIGEST else 0
        start = 0
        while start < len(chunk):
            fitting = min(records_left, json_left // json_width) if json_width else records_left
            if parts and not fitting:
                yield Batch(parts)
                parts = []
                records_left = size
                json_left = _MAX_JSON_BYTES
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
    """An export's unique records in temporary files, ready to send: one file for each layout (keys and length).

    `list_type`: the type of the customer list that is created for the records. Reading the records may raise OSError.
    """

    files: Mapping[RecordLayout, Spool | SortedFile] = field(default_factory=dict)
    list_type: str = choose_list_type([])

    @property
    def record_count(self) -> int:
        """The number of unique records. A row that was split into several records counts once."""
        return sum(file.unique_count for layout, file in self.files.items() if not layout.is_extra)

    @property
    def fingerprint(self) -> str:
        """Eight hex digits of a hash of the sorted records: it tells whether records are the same. Raises OSError."""
        chunks: list[Iterable[bytes]] = []
        for layout, file in self.files.items():
            if layout != SINGLE_DIGEST:
                chunks.append([f"{layout} {file.unique_count} ".encode()])
            chunks.append(file.read_chunks())
        return compute_fingerprint(chain.from_iterable(chunks))

    def count_batches(self, size: int) -> int:
        """Return the number of batches that `read_batches` yields for the same `size`. No file is read."""
        # Ranges in place of the records: they have lengths, and can be cut.
        chunks = ((layout, range(file.unique_count * layout.width)) for layout, file in self.files.items())
        return sum(1 for _ in _make_batches(chunks, size))

    def read_batches(self, size: int) -> Iterator[Batch]:
        """Yield batches of up to `size` records, fewer if records are long: the same in each call. Raises OSError."""
        chunks = ((layout, chunk) for layout, file in self.files.items() for chunk in file.read_chunks())
        return _make_batches(chunks, size)


class RowSpool:
    """Collects encoded records of rows in spools (sorting temporary files), one for each layout (keys and length).

    `finish` sorts the records and drops repeats. Records with external ids are encrypted, since an external id is not a
    digest. All methods but `close` may raise OSError; after that only `close` works. `spools`: the files, by layout.
    `suffix_bytes`: the length of what the caller puts at the end of each record, such as the number of its person;
    records that differ only there are no repeats.
    """

    def __init__(self, *, suffix_bytes: int = 0) -> None:
        self.spools: dict[RecordLayout, Spool] = {}
        self._suffix_bytes = suffix_bytes

    def close(self) -> None:
        """Delete the temporary files and free memory. May be called again."""
        for spool in self.spools.values():
            spool.close()

    def add(self, layout: RecordLayout, records: Sequence[bytes]) -> None:
        """Add encoded records that all have the same layout. Raises OSError."""
        if layout not in self.spools:
            self.spools[layout] = Spool(layout.width + self._suffix_bytes, encrypted=layout.id_length > 0)
        self.spools[layout].add(records)
        if sum(spool.buffered_bytes for spool in self.spools.values()) > _BUFFERED_BYTES:
            max(self.spools.values(), key=lambda spool: spool.buffered_bytes).write_buffers()

    def finish(self) -> PreparedRecords:
        """Return the unique records in ascending order. No record can be added afterwards. Raises OSError."""
        for spool in self.spools.values():
            spool.finish()
        # In the same order whichever row came first.
        return PreparedRecords(dict(sorted(self.spools.items())))


def compute_fingerprint(chunks: Iterable[bytes] = ()) -> str:
    """Return eight hex digits of the SHA-256 of records. `chunks`: the records as bytes, in ascending order."""
    sha = hashlib.sha256()
    for chunk in chunks:
        sha.update(chunk)
    return sha.hexdigest()[:8]
