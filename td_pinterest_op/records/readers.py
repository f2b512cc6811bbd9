"""Read the rows of a job into a spool of unique records, and count what is invalid. Sends nothing."""

import abc
import contextlib
import gc
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import Column, choose_list_type
from td_pinterest_op.records.digests import ColumnIdentifiers, read_column_identifiers
from td_pinterest_op.records.limits import NAMED_ROWS, format_reasons
from td_pinterest_op.records.prepared import PreparedRecords, RowSpool
from td_pinterest_op.records.rows import SINGLE_DIGEST, Row, collect_rows, encode_rows
from td_pinterest_op.records.spool import SortedFile, Spool
from td_pinterest_op.settings.structures import Control
from td_pinterest_op.stats import Stats

log = logging.getLogger(__name__)

Block = Sequence[Sequence[Any]]  # some rows, column by column
Rejected = Sequence[tuple[int, Reason]]  # rows of a block, counted from 0, each with the reason for its rejection


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSettings:
    """Settings for reading rows. `control_key_index`: position of the column that chooses the control group."""

    columns: Sequence[Column]
    default_country: str | None = None
    control: Control | None = None
    control_key_index: int | None = None
    find_line_number: Callable[[int], int] | None = None  # see `Job`


class Reader(abc.ABC):
    """Reads the rows of a query's result in blocks, stores the valid records, and counts what it reads.

    `first_invalid`: the first invalid rows (or lines of a file), from 1.
    """

    def __init__(self, settings: ReaderSettings, stats: Stats) -> None:
        self.settings = settings
        self._stats = stats
        self.first_invalid: list[int] = []
        self._files = contextlib.ExitStack()
        self.close = self._files.close

    def read(self, blocks: Iterable[Block], *, progress: Callable[[int], None]) -> PreparedRecords:
        """Read all rows, and return their unique records. `progress` is called with the number of rows read so far.

        Raises JobError, TreasureDataError, OSError.
        """
        gc.disable()  # rows never form reference cycles; to search for some costs 4 % of the reading time
        try:
            for block in blocks:
                self._count_rejected(self._read_block(block))
                self._stats.read += len(block[0])
                progress(self._stats.read)
            prepared, withheld = self._finish_and_count_withheld()
        finally:
            gc.enable()
        self._stats.withheld.update(withheld)
        self._stats.unique = prepared.record_count + self._stats.withheld.total()
        self._stats.duplicate = self._stats.valid - self._stats.unique
        return prepared

    def _read_block(self, block: Block) -> Rejected:
        """Store a block's valid records. Returns the rejected rows, including rows without a control-group key."""
        index = self.settings.control_key_index
        keys = () if index is None else block[index]
        keyless = [row for row, key in enumerate(keys) if key is None]
        if not keyless:
            return self._store_block(block)
        self._add_unsent_people(self._read_column_identifiers(_select_rows(block, keyless)), len(keyless))
        rows = [row for row, key in enumerate(keys) if key is not None]
        rejected = self._store_block(_select_rows(block, rows))
        return [*((row, Reason.NO_CONTROL_KEY) for row in keyless), *((rows[row], reason) for row, reason in rejected)]

    def _read_column_identifiers(self, block: Block) -> list[ColumnIdentifiers]:
        """Return the keys to send, digests or external ids, of each identifier column in a block of rows."""
        country = self.settings.default_country
        return [read_column_identifiers(column, block, default_country=country) for column in self.settings.columns]

    def _store_block(self, block: Block) -> Rejected:
        """Store the valid records of a block, count its plain and hashed values, and return its rejected rows."""
        by_column = self._read_column_identifiers(block)
        for column in by_column:
            if column.column.type.is_hashed:
                self._stats.hashed_values += column.hashed_count
                self._stats.plain_values += column.valid_count - column.hashed_count
        return self._store_valid_records(block, by_column)

    def _add_unsent_people(self, by_column: Sequence[ColumnIdentifiers], count: int) -> None:  # noqa: B027 - for readers with lists
        """Record the people of `count` rejected rows: if one has opted out, this also applies to other rows."""

    @abc.abstractmethod
    def _store_valid_records(self, block: Block, by_column: Sequence[ColumnIdentifiers]) -> Rejected:
        """Store and count a block's valid records, made of its identifiers (`by_column`). Returns rejected rows."""

    @abc.abstractmethod
    def _finish_and_count_withheld(self) -> tuple[PreparedRecords, Mapping[str, int]]:
        """Return the unique records, once all blocks are read, and how many records are withheld, by reason."""

    def _count_rejected(self, rejected: Rejected) -> None:
        """Count the rejected rows of a block by reason, and store the first rows' numbers for messages."""
        self._stats.invalid_by_reason.update(reason.value for _, reason in rejected)
        rows = {self._stats.read + position + 1 for position, _ in rejected}
        self._stats.invalid_rows += len(rows)
        # One more than an error names: it then knows whether there are more.
        first = sorted(rows)[: NAMED_ROWS + 1 - len(self.first_invalid)]
        find_line_number = self.settings.find_line_number
        self.first_invalid += map(find_line_number, first) if find_line_number else first


class IdentifierReader(Reader):
    """Reads the rows of a query's result, and stores each valid identifier in them as a record of its own."""

    def __init__(self, spool: Spool | SortedFile, settings: ReaderSettings, stats: Stats) -> None:
        super().__init__(settings, stats)
        self._spool = spool
        self._files.callback(spool.close)
        # A row has as many values as there are columns, but for arrays.
        stats.columns = len(settings.columns) + sum(column.is_array for column in settings.columns)

    def _store_valid_records(self, block: Block, by_column: Sequence[ColumnIdentifiers]) -> Rejected:
        """Store and count each valid identifier in `by_column` as a record. Returns the block's rejected rows."""
        self._store_identifiers(block, by_column)
        self._stats.valid += sum(column.valid_count for column in by_column)
        rejected = [rejection for column in by_column for rejection in column.rejected]
        if len(by_column) == 1:
            return rejected
        # A NULL is rejected only in a row that has nothing else, and once.
        nulls = Counter(row for row, reason in rejected if reason is Reason.NULL)
        null_rows = [(row, Reason.NULL) for row, count in nulls.items() if count == len(by_column)]
        return [rejection for rejection in rejected if rejection[1] is not Reason.NULL] + null_rows

    def _store_identifiers(self, _block: Block, by_column: Sequence[ColumnIdentifiers]) -> None:
        """Store a block's valid identifiers (`by_column`). A subclass may store only identifiers that may be sent."""
        for column in by_column:
            self._spool.add(column.comparable_digests)

    def _finish_and_count_withheld(self) -> tuple[PreparedRecords, Mapping[str, int]]:
        """Return the unique identifiers as records, and no counts: this reader withholds nobody."""
        self._spool.finish()
        return PreparedRecords({SINGLE_DIGEST: self._spool}, choose_list_type(self.settings.columns)), {}


class RowReader(Reader):
    """Reads the rows of a query's result, and stores each row that has a valid identifier as one record."""

    def __init__(self, settings: ReaderSettings, stats: Stats) -> None:
        super().__init__(settings, stats)
        self._kept = RowSpool()
        self._files.callback(self._kept.close)

    def _store_valid_records(self, block: Block, by_column: Sequence[ColumnIdentifiers]) -> Rejected:
        """Store and count each row with a valid identifier as a record. Returns the block's rejected rows."""
        collected = collect_rows(by_column, count=len(block[0]))
        self._store_rows(block, by_column, collected.rows)
        self._stats.valid += len(block[0]) - len(collected.rejected)
        for reason, count in collected.rejected_keys.items():
            self._stats.invalid_keys_by_reason[reason.value] += count
        return collected.rejected

    def _store_rows(self, _block: Block, _by_column: Sequence[ColumnIdentifiers], rows: list[Row]) -> None:
        """Store the rows of a block. A subclass may store only those that may be sent."""
        for layout, records in encode_rows(self.settings.columns, rows).items():
            self._kept.add(layout, records)

    def _finish_and_count_withheld(self) -> tuple[PreparedRecords, Mapping[str, int]]:
        """Return the unique rows as records, and no counts: this reader withholds nobody."""
        prepared = replace(self._kept.finish(), list_type=choose_list_type(self.settings.columns))
        self._stats.keys = sum(layout.key_count * file.unique_count for layout, file in prepared.files.items())
        if reasons := format_reasons(self._stats.invalid_keys_by_reason):
            log.warning("invalid identifiers were left out of rows that also have valid identifiers: %s", reasons)
        return prepared, {}


def _select_rows(block: Block, positions: Sequence[int]) -> Block:
    """Return a block with only those rows of `block` that are at `positions`, counted from 0."""
    return [[column[position] for position in positions] for column in block]
