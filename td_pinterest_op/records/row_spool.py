"""Sort and deduplicate rows with several keys, and cut them into batches: a spool for each shape of rows.

An external id is not a digest: a spool of rows with one is therefore encrypted.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from td_pinterest_op.records.rows import RowBatch, Shape, make_batches
from td_pinterest_op.records.spool import PreparedRecords, Spool

_BUFFERED_BYTES = 4 << 20  # in memory, over all shapes


class RowSpool(PreparedRecords):
    """Collects encoded rows in temporary files, one for each shape, then sorts them and drops repeats (`finish`).

    Shapes: see `rows`. Once finished, it has the numbers of different rows, excluding (`unique_count`) and including
    (`upload_count`) further combinations of a row's values, and of their keys (`key_count`). After an OSError only
    `close` works.
    """

    def __init__(self) -> None:
        self._spools: dict[Shape, Spool] = {}
        self.key_count = 0

    def close(self) -> None:
        """Delete the temporary files and free memory. May be called again."""
        for spool in self._spools.values():
            spool.close()

    def add(self, rows: Mapping[Shape, Sequence[bytes]]) -> None:
        """Add encoded rows, which are grouped by shape, to the spools of their shapes. Raises OSError."""
        for shape, of_shape in rows.items():
            if shape not in self._spools:
                self._spools[shape] = Spool(shape.width, encrypted=shape.external_id_bytes > 0)
            self._spools[shape].add(of_shape)
        if sum(spool.buffered_bytes for spool in self._spools.values()) > _BUFFERED_BYTES:
            max(self._spools.values(), key=lambda spool: spool.buffered_bytes).write_buffers()

    def finish(self) -> None:
        """Sort the rows and drop repeats. No row can be added afterwards. Raises OSError."""
        # In the same order whichever row came first.
        self._spools = dict(sorted(self._spools.items(), key=lambda entry: entry[0].number))
        for shape, spool in self._spools.items():
            spool.finish()
            self.unique_count += 0 if shape.is_extra else spool.unique_count
            self.key_count += shape.key_count * spool.unique_count

    @property
    def upload_count(self) -> int:
        """The number of different rows, including further combinations of the values in a query's row."""
        return sum(spool.unique_count for spool in self._spools.values())

    def read_chunks(self) -> Iterator[bytes]:
        """Yield the different rows as long strings: for each shape its number, its row count, and then its rows."""
        for shape, spool in self._spools.items():
            yield b"%d %d " % (shape.number, spool.unique_count)
            yield from spool.read_chunks()

    def count_batches(self, size: int) -> int:
        """Return the number of batches of up to `size` rows, without reading a file."""
        # Ranges in place of the rows: they have lengths, and can be cut.
        chunks = ((shape, range(spool.unique_count * shape.width)) for shape, spool in self._spools.items())
        return sum(1 for _ in make_batches(cast("Iterator[tuple[Shape, bytes]]", chunks), size))

    def read_batches(self, size: int) -> Iterator[RowBatch]:
        """Yield batches of up to `size` rows, fewer if they are long. Every call yields the same. Raises OSError."""
        chunks = ((shape, chunk) for shape, spool in self._spools.items() for chunk in spool.read_chunks())
        return make_batches(chunks, size)
