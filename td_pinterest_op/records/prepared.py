"""Prepared records: an export's unique records in ascending order, cut into the batches that requests send."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress
from typing import cast

from td_pinterest_op.records.columns import choose_list_type
from td_pinterest_op.records.digests import DIGEST_BYTES
from td_pinterest_op.records.rows import SINGLE_DIGEST, RecordLayout
from td_pinterest_op.records.spool import SortedFile, Spool

_BUFFERED_BYTES = 4 << 20  # in memory, over all layouts
# Rows are longer than digests. This limits a batch's bytes in the spool to those of 100,000 digests, the largest batch
# that a setting allows; as JSON it has twice as many.
_MAX_BATCH_BYTES = 100_000 * DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one request. `parts`: pairs of a layout (keys and length) and the joined bytes of its records."""

    parts: Sequence[tuple[RecordLayout, bytes]]

    def __len__(self) -> int:
        return sum(len(data) // layout.width for layout, data in self.parts)

    @property
    def has_rows(self) -> bool:
        """Whether the records are rows with named keys, sent as `records_v2`, and not single digests."""
        return any(layout != SINGLE_DIGEST for layout, _ in self.parts)

    @property
    def record_count(self) -> int:
        """The number of records. If a row was split into several records, they count as one."""
        return sum(len(data) // layout.width for layout, data in self.parts if not layout.is_extra)

    def split(self, size: int) -> "list[Batch]":
        """Return smaller batches of the same records, with up to `size` records in each."""
        return [*_make_batches(self.parts, size)]

    def make_json_chunks(self) -> Iterator[bytes]:
        """Yield chunks of the JSON text of the member `records` or `records_v2` in a request's body."""
        opening, closing = (b'"records_v2":[', b"]") if self.has_rows else (b'"records":"', b'"')
        for number, (layout, data) in enumerate(self.parts):
            yield b"," if number else opening
            yield layout.format_for_request(data)
        yield closing


def _make_batches(chunks: Iterable[tuple[RecordLayout, bytes]], size: int) -> Iterator[Batch]:
    """Yield batches of up to `size` records. `chunks`: pairs of a record's layout (keys and length) and bytes."""
    batch: list[tuple[RecordLayout, bytes]] = []
    records_left, bytes_left = size, _MAX_BATCH_BYTES
    for layout, chunk in chunks:
        start = 0
        while start < len(chunk):
            if batch and (not records_left or bytes_left < layout.width):
                yield Batch(batch)
                batch, records_left, bytes_left = [], size, _MAX_BATCH_BYTES
            end = start + min(records_left, bytes_left // layout.width) * layout.width
            piece = chunk[start:end]
            batch.append((layout, piece))
            records_left, bytes_left = records_left - len(piece) // layout.width, bytes_left - len(piece)
            start = end
    if batch:
        yield Batch(batch)


@dataclass(frozen=True, slots=True)
class PreparedRecords:
    """An export's unique records, ready to send. There is a file for each layout (keys and length of a record).

    `list_type`: the type of the customer list that is created for the records. Reading the records may raise OSError.
    """

    files: Mapping[RecordLayout, Spool | SortedFile] = field(default_factory=dict)
    list_type: str = choose_list_type([])

    @property
    def record_count(self) -> int:
        """The number of unique records. If a row was split into several records, they count as one."""
        return sum(file.unique_count for layout, file in self.files.items() if not layout.is_extra)

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that depend only on the records, not on the job or the rows' order. Raises OSError."""
        by_layout = (
            chain([b"%d %d " % (layout, file.unique_count)] if layout != SINGLE_DIGEST else [], file.read_chunks())
            for layout, file in self.files.items()
        )
        return compute_fingerprint(chain.from_iterable(by_layout))

    def count_batches(self, size: int) -> int:
        """Return the number of batches of up to `size` records, without reading a file."""
        # Ranges in place of the records: they have lengths, and can be cut.
        chunks = ((layout, range(file.unique_count * layout.width)) for layout, file in self.files.items())
        return sum(1 for _ in _make_batches(cast("Iterator[tuple[RecordLayout, bytes]]", chunks), size))

    def read_batches(self, size: int) -> Iterator[Batch]:
        """Yield batches of up to `size` records, fewer if records are long. Every call yields the same batches."""
        return _make_batches(self.read_chunks(), size)

    def read_chunks(self) -> Iterator[tuple[RecordLayout, bytes]]:
        """Yield pairs of a layout (keys and length) and the joined bytes of many of its records, in ascending order."""
        return ((layout, chunk) for layout, file in self.files.items() for chunk in file.read_chunks())


class RowSpool:
    """Collects encoded rows in temporary files, one for each layout (keys and length of a row).

    `finish` sorts the rows and drops repeats. Rows with external ids are encrypted, since an external id is not a
    digest. All methods but `close` may raise OSError; after that only `close` works. `spools`: the files, by layout.
    """

    def __init__(self) -> None:
        self.spools: dict[RecordLayout, Spool] = {}

    def close(self) -> None:
        """Delete the temporary files and free memory. May be called again."""
        for spool in self.spools.values():
            spool.close()

    def add(self, rows: Sequence[bytes], layouts: Sequence[int]) -> None:
        """Add encoded rows. `layouts`: the number of each row's layout (keys and length), 0 to leave the row out."""
        numbers = {*layouts}
        for number in numbers - {0}:
            layout = RecordLayout(number)
            if layout not in self.spools:
                self.spools[layout] = Spool(layout.width, encrypted=layout.external_id_bytes > 0)
            self.spools[layout].add(rows if len(numbers) == 1 else [*compress(rows, map(number.__eq__, layouts))])
        if sum(spool.buffered_bytes for spool in self.spools.values()) > _BUFFERED_BYTES:
            max(self.spools.values(), key=lambda spool: spool.buffered_bytes).write_buffers()

    def finish(self) -> PreparedRecords:
        """Return the unique rows as sorted records. No row can be added afterwards. Raises OSError."""
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
