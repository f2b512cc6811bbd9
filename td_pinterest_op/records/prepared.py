"""Prepared records: those of an export, each once and in ascending order, cut into the batches that requests send."""

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
    """The records of one request. `parts`: pairs of a layout and the joined records that have it.

    A layout tells which keys a record has, and how many bytes they take.
    """

    parts: Sequence[tuple[RecordLayout, bytes]]

    def __len__(self) -> int:
        return sum(len(data) // layout.width for layout, data in self.parts)

    @property
    def has_rows(self) -> bool:
        """Whether the records are rows with named keys, sent as `records_v2`, and not single digests."""
        return any(layout != SINGLE_DIGEST for layout, _ in self.parts)

    @property
    def record_count(self) -> int:
        """The number of records in the batch. Of the combinations of a query row's values, only the first counts."""
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
    """Yield batches of at most `size` records and _MAX_BATCH_BYTES bytes. `chunks`: a layout each, and its records."""
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
    """An export's records, ready to send, in a file for each layout: which keys a record has, with how many bytes.

    `list_type`: the type of the customer list that is created for them.
    """

    files: Mapping[RecordLayout, Spool | SortedFile] = field(default_factory=dict)
    list_type: str = choose_list_type([])

    @property
    def record_count(self) -> int:
        """The number of different records. All combinations of the values in one query row count as one."""
        return sum(file.unique_count for layout, file in self.files.items() if not layout.is_extra)

    @property
    def upload_count(self) -> int:
        """The number of records as Pinterest counts them: each combination of a row's values is one."""
        return sum(file.unique_count for file in self.files.values())

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that depend on the records only, not on their job or their order. Raises OSError."""
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
        """Yield batches of up to `size` records, fewer if they are long. Every call yields the same. Raises OSError."""
        return _make_batches(self.read_chunks(), size)

    def read_chunks(self) -> Iterator[tuple[RecordLayout, bytes]]:
        """Yield pairs of a layout and a byte string of joined records; those of a layout ascend. Raises OSError."""
        return ((layout, chunk) for layout, file in self.files.items() for chunk in file.read_chunks())


class RowSpool:
    """Collects encoded rows in temporary files, one for each `RecordLayout`. Finally sorts them and drops repeats.

    An external id is not a digest: rows with one are encrypted. After an OSError only `close` works.
    """

    def __init__(self) -> None:
        self._spools: dict[RecordLayout, Spool] = {}

    def close(self) -> None:
        """Delete the temporary files and free memory. May be called again."""
        for spool in self._spools.values():
            spool.close()

    def add(self, rows: Sequence[bytes], layouts: Sequence[int]) -> None:
        """Add encoded rows. `layouts`: the number of each row's layout, 0 to leave the row out. Raises OSError."""
        numbers = {*layouts}
        for number in numbers - {0}:
            layout = RecordLayout(number)
            if layout not in self._spools:
                self._spools[layout] = Spool(layout.width, encrypted=layout.external_id_bytes > 0)
            self._spools[layout].add(rows if len(numbers) == 1 else [*compress(rows, map(number.__eq__, layouts))])
        if sum(spool.buffered_bytes for spool in self._spools.values()) > _BUFFERED_BYTES:
            max(self._spools.values(), key=lambda spool: spool.buffered_bytes).write_buffers()

    def finish(self) -> PreparedRecords:
        """Return the different rows, sorted. No row can be added afterwards. Raises OSError."""
        for spool in self._spools.values():
            spool.finish()
        # In the same order whichever row came first.
        return PreparedRecords(dict(sorted(self._spools.items())))


def compute_fingerprint(chunks: Iterable[bytes] = ()) -> str:
    """Return eight hex digits of the SHA-256 of records, which are given as chunks of bytes in ascending order."""
    sha = hashlib.sha256()
    for chunk in chunks:
        sha.update(chunk)
    return sha.hexdigest()[:8]
