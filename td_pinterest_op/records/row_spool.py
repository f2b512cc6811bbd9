"""Rows with several keys → unique rows → batches, by way of a spool for each shape of rows.

An external id is not a digest: a spool of rows with one is therefore encrypted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from td_pinterest_op.records.rows import Shape
from td_pinterest_op.records.spool import Spool

_BUFFERED_BYTES = 4 << 20  # in memory, over all shapes
# A batch of rows is longer than one of digests: its request stays below this many bytes, as the rows are in the spool
# (about half of their length as JSON).
_MAX_BATCH_BYTES = 2 << 20

Parts = list[tuple[Shape, bytes]]
"""Rows, those of a shape one after the other."""


class RowSpool:
    """Takes rows (see `rows`) until it is finished, then gives them back, each once, as batches.

    Its files are gone with `close`; when a file fails with an OSError, only `close` works after that.
    """

    def __init__(self) -> None:
        self._spools: dict[Shape, Spool] = {}

    def close(self) -> None:
        """Frees memory and files. May be called again."""
        for spool in self._spools.values():
            spool.close()

    def add(self, rows: Mapping[Shape, Sequence[bytes]]) -> None:
        """Takes rows. Raises OSError."""
        for shape, of_shape in rows.items():
            if shape not in self._spools:
                self._spools[shape] = Spool(shape.width, encrypted=shape.external_id_bytes > 0)
            self._spools[shape].add(of_shape)
        if sum(spool.buffered_bytes for spool in self._spools.values()) > _BUFFERED_BYTES:
            max(self._spools.values(), key=lambda spool: spool.buffered_bytes).write_buffers()

    def finish(self) -> None:
        """Sorts, drops repeats, counts. Nothing can be added any more. Raises OSError."""
        # In the same order whichever row came first.
        self._spools = dict(sorted(self._spools.items(), key=lambda entry: entry[0].number))
        for spool in self._spools.values():
            spool.finish()

    @property
    def unique(self) -> int:
        """Different rows that count. Raises RuntimeError unless finished."""
        return sum(spool.unique for shape, spool in self._spools.items() if shape.counts)

    @property
    def keys(self) -> int:
        """Keys of the different rows. Raises RuntimeError unless finished."""
        return sum(shape.count * spool.unique for shape, spool in self._spools.items())

    @property
    def fingerprint(self) -> str:
        """Names the unique rows: the same rows give the same eight hex digits. Raises OSError, RuntimeError."""
        sha = hashlib.sha256()
        for shape, spool in self._spools.items():
            sha.update(b"%d %d " % (shape.number, spool.unique))
            for chunk in spool.chunks():
                sha.update(chunk)
        return sha.hexdigest()[:8]

    def count_batches(self, size: int) -> int:
        """How many there are of `batches`: told by the lengths alone, without reading a file."""
        batches, rows_left, bytes_left = 0, 0, 0
        for shape, spool in self._spools.items():
            rows = spool.unique
            while rows:
                if not rows_left or bytes_left < shape.width:
                    batches, rows_left, bytes_left = batches + 1, size, _MAX_BATCH_BYTES
                fitting = min(rows, rows_left, bytes_left // shape.width)
                rows, rows_left = rows - fitting, rows_left - fitting
                bytes_left -= fitting * shape.width
        return batches

    def batches(self, size: int) -> Iterator[Parts]:
        """Unique rows, `size` at a time or fewer where they are long. Every call starts anew and gives the same."""
        chunks = ((shape, chunk) for shape, spool in self._spools.items() for chunk in spool.chunks())
        return in_batches(chunks, size)


def in_batches(chunks: Iterable[tuple[Shape, bytes]], size: int) -> Iterator[Parts]:
    """The same rows, `size` at a time or fewer where they are long."""
    batch: Parts = []
    rows_left, bytes_left = size, _MAX_BATCH_BYTES
    for shape, chunk in chunks:
        start = 0
        while start < len(chunk):
            if batch and (not rows_left or bytes_left < shape.width):
                yield batch
                batch, rows_left, bytes_left = [], size, _MAX_BATCH_BYTES
            rows = min(rows_left, bytes_left // shape.width)
            piece = chunk[start : start + rows * shape.width]
            batch.append((shape, piece))
            rows_left, bytes_left = rows_left - len(piece) // shape.width, bytes_left - len(piece)
            start += len(piece)
    if batch:
        yield batch
