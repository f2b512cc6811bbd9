"""Read the rows of a job into a spool of unique records, and count what is invalid. Sends nothing."""

from __future__ import annotations

import abc
import contextlib
import gc
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from td_pinterest_op.identifiers.rules import Reason
from td_pinterest_op.records.batch import Batch
from td_pinterest_op.records.columns import Column, list_type
from td_pinterest_op.records.digests import ColumnKeys, column_keys
from td_pinterest_op.records.plan import NAMED_ROWS, reasons_text
from td_pinterest_op.records.row_spool import RowSpool
from td_pinterest_op.records.rows import EncodedRows, encode_rows, group_by_shape
from td_pinterest_op.records.spool import Sorted, Spool, fingerprint
from td_pinterest_op.stats import Stats

log = logging.getLogger(__name__)

Block = Sequence[Sequence[Any]]
"""Some rows, column by column."""
Rejected = Sequence[tuple[int, Reason]]
"""Rows of a block, counted from 0, each with the reason for its rejection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The records to send: how many, the type of a list that is created for them, and the spool that holds them."""

    unique: int
    list_type: str
    spool: Sorted | RowSpool | None

    @classmethod
    def empty(cls) -> Prepared:
        """Return what an action without rows prepares."""
        return cls(unique=0, list_type=list_type([]), spool=None)

    @property
    def upload_count(self) -> int:
        """The number of records as Pinterest counts them: each combination of a row's values is one."""
        return self.spool.upload_count if isinstance(self.spool, RowSpool) else self.unique

    @property
    def fingerprint(self) -> str:
        """A name of the records: the same for the same records, whatever job they come from."""
        return self.spool.fingerprint if self.spool else fingerprint()

    def count_batches(self, size: int) -> int:
        """Return how many batches there are."""
        return self.spool.count_batches(size) if self.spool else 0

    def batches(self, size: int) -> Iterator[Batch]:
        """Yield the records, `size` at a time. Every call starts again and yields the same. Raises OSError."""
        return self.spool.batches(size) if self.spool else iter(())


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSettings:
    """What a reader makes of rows. `by`: the position of a column without which a row is invalid.

    `line_of`: see `Job`.
    """

    columns: Sequence[Column]
    default_country: str | None = None
    by: int | None = None
    line_of: Callable[[int], int] | None = None


class Reader(abc.ABC):
    """Reads blocks and counts. `first_invalid`: the first invalid rows, counted from 1; lines of a file."""

    _list_type = list_type([])

    def __init__(self, settings: ReaderSettings, stats: Stats) -> None:
        self.settings, self._stats = settings, stats
        self.first_invalid: list[int] = []
        self.prepared = Prepared.empty()
        self._files = contextlib.ExitStack()

    def close(self) -> None:
        """Free memory and files. May be called again."""
        self._files.close()

    def read(self, blocks: Iterable[Block], *, progress: Callable[[int], None]) -> None:
        """Read all rows; `progress` is called with their number so far. Raises JobError, TreasureDataError, OSError."""
        by = self.settings.by
        gc.disable()  # rows never form reference cycles; to search for some costs 4 % of the reading time
        try:
            for block in blocks:
                self._reject(self._read_block(block) if by is None else self._read_keyed_block(block, block[by]))
                self._stats.read += len(block[0])
                progress(self._stats.read)
            spool, withheld = self._finish()
        finally:
            gc.enable()
        self._stats.withheld.update(withheld)
        self._stats.unique = spool.unique + self._stats.withheld.total()
        self._stats.duplicate = self._stats.valid - self._stats.unique
        self.prepared = Prepared(unique=spool.unique, list_type=self._list_type, spool=spool)

    def _read_keyed_block(self, block: Block, keys: Sequence[object]) -> Rejected:
        keyless = [row for row, key in enumerate(keys) if key is None]
        if not keyless:
            return self._read_block(block)
        self._shield(self._keys_of(_select(block, keyless)), len(keyless))
        rows = [row for row, key in enumerate(keys) if key is not None]
        rejected = self._read_block(_select(block, rows))
        return [*((row, Reason.NO_CONTROL_KEY) for row in keyless), *((rows[row], reason) for row, reason in rejected)]

    def _keys_of(self, block: Block) -> list[ColumnKeys]:
        country = self.settings.default_country
        return [column_keys(column, block, default_country=country) for column in self.settings.columns]

    def _read_block(self, block: Block) -> Rejected:
        by_column = self._keys_of(block)
        for column in by_column:
            self._stats.hashed_values += column.hashed
            self._stats.plain_values += column.plain
        return self._take(block, by_column)

    def _shield(self, by_column: Sequence[ColumnKeys], count: int) -> None:  # noqa: B027 - for readers with lists
        """Note the identifiers of `count` rows that are not sent: others may lose them. Raises OSError."""

    @abc.abstractmethod
    def _take(self, block: Block, by_column: Sequence[ColumnKeys]) -> Rejected:
        """Keep and count what is valid in a block; returns the rows of what is not, with the reasons."""

    @abc.abstractmethod
    def _finish(self) -> tuple[Sorted | RowSpool, Mapping[str, int]]:
        """Return the records to send, each once, and how many are withheld, by reason; all blocks are read."""

    def _reject(self, rejected: Rejected) -> None:
        self._stats.invalid_by_reason.update(reason.value for _, reason in rejected)
        rows = {self._stats.read + position + 1 for position, _ in rejected}
        self._stats.invalid_rows += len(rows)
        # One more than an error names: it then knows whether there are more.
        first, line_of = sorted(rows)[: NAMED_ROWS + 1 - len(self.first_invalid)], self.settings.line_of
        self.first_invalid += map(line_of, first) if line_of else first


class IdentifierReader(Reader):
    """Makes a record of every valid value."""

    def __init__(self, settings: ReaderSettings, stats: Stats) -> None:
        super().__init__(settings, stats)
        self._list_type = list_type(settings.columns)
        # A row has as many values as there are columns, but for arrays.
        stats.columns = len(settings.columns) + sum(column.is_array for column in settings.columns)

    def _take(self, block: Block, by_column: Sequence[ColumnKeys]) -> Rejected:
        self._keep(block, by_column)
        self._stats.valid += sum(column.valid for column in by_column)
        rejected = [rejection for column in by_column for rejection in column.rejected]
        return _merge_nulls(rejected, columns=len(by_column)) if len(by_column) > 1 else rejected

    @abc.abstractmethod
    def _keep(self, block: Block, by_column: Sequence[ColumnKeys]) -> None:
        """Keep the valid identifiers. Raises OSError."""


class AllIdentifiersReader(IdentifierReader):
    """Keeps every identifier in a spool."""

    def __init__(self, spool: Spool, settings: ReaderSettings, stats: Stats) -> None:
        super().__init__(settings, stats)
        self._spool = spool
        self._files.callback(spool.close)

    def _keep(self, _block: Block, by_column: Sequence[ColumnKeys]) -> None:
        for column in by_column:
            self._spool.add(column.identifiers)

    def _finish(self) -> tuple[Spool, Mapping[str, int]]:
        self._spool.finish()
        return self._spool, {}


class RowReader(Reader):
    """Makes a record of every row with a valid key, and keeps all of them."""

    def __init__(self, settings: ReaderSettings, stats: Stats) -> None:
        super().__init__(settings, stats)
        self._kept = RowSpool()
        self._files.callback(self._kept.close)

    def _take(self, block: Block, by_column: Sequence[ColumnKeys]) -> Rejected:
        rows = encode_rows(by_column, count=len(block[0]))
        self._keep(block, by_column, rows)
        self._stats.valid += rows.valid
        self._stats.invalid_keys_by_reason.update({reason.value: count for reason, count in rows.rejected_keys.items()})
        return rows.rejected

    def _keep(self, _block: Block, _by_column: Sequence[ColumnKeys], rows: EncodedRows) -> None:
        """Keep the valid rows. Raises OSError."""
        for part in rows.parts:
            self._kept.add(group_by_shape(part.rows, part.shapes))

    def _finish(self) -> tuple[RowSpool, Mapping[str, int]]:
        self._kept.finish()
        self._stats.keys = self._kept.keys
        if reasons := reasons_text(self._stats.invalid_keys_by_reason):
            log.warning("invalid keys are left out of valid rows: %s", reasons)
        return self._kept, {}


def _select(block: Block, rows: Sequence[int]) -> Block:
    return [[column[row] for row in rows] for column in block]


def _merge_nulls(rejected: Rejected, *, columns: int) -> Rejected:
    """Make one rejection of a row of nulls; with several columns, a null next to a value is no rejection."""
    nulls = Counter(position for position, reason in rejected if reason is Reason.NULL)
    of_whole_rows = [(position, Reason.NULL) for position, count in nulls.items() if count == columns]
    return [rejection for rejection in rejected if rejection[1] is not Reason.NULL] + of_whole_rows
