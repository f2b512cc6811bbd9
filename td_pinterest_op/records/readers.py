"""Read the rows of a job into temporary files of unique records, and count what is invalid.

`IdentifierRecordReader` makes a record of each identifier, and `RowRecordReader` one of each row, with all its keys.
The readers of `withholding/` keep records back until the last row is read.
"""

import abc
import contextlib
import gc
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import IdentifierColumn, choose_customer_list_type
from td_pinterest_op.records.digests import ColumnIdentifiers, extract_column_identifiers
from td_pinterest_op.records.limits import MOST_NAMED_INVALID_ROWS, format_reason_counts
from td_pinterest_op.records.prepared import (
    SINGLE_DIGEST_LAYOUT,
    PreparedRecords,
    RowIdentifiers,
    RowSpool,
    encode_rows,
)
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.stats import Stats

log = logging.getLogger(__name__)

MOST_COMBINATIONS_PER_ROW = 1_000
"""A row with more combinations of its values is invalid: nobody has that many, and memory must stay flat."""

RowBlock = Sequence[Sequence[Any]]  # the values of some rows, column by column
RejectedRows = list[tuple[int, Reason]]  # the row's position in its block, and why it is rejected


@dataclass(kw_only=True, eq=False)
class QueryResultReader(abc.ABC):
    """Reads the rows of a query's result in blocks, stores the valid records, and counts what it reads in `stats`."""

    columns: Sequence[IdentifierColumn]
    stats: Stats

    def __post_init__(self) -> None:
        self._files = contextlib.ExitStack()
        self.close = self._files.close

    def read(self, blocks: Iterable[RowBlock], *, progress: Callable[[int], None] = lambda _: None) -> PreparedRecords:
        """Read all rows, and return their unique records. `progress` gets the number of rows read so far.

        Raises JobError, TreasureDataError and OSError.
        """
        stats = self.stats
        gc.disable()  # rows never form reference cycles; to search for some costs 4 % of the reading time
        try:
            for block in blocks:
                rejected = self._read_block(block)
                stats.invalid_by_reason.update(reason.value for _, reason in rejected)
                invalid = {stats.read + row + 1 for row, _ in rejected}
                stats.invalid_rows += len(invalid)
                stats.first_invalid += sorted(invalid)[: MOST_NAMED_INVALID_ROWS - len(stats.first_invalid)]
                stats.read += len(block[0])
                progress(stats.read)
            prepared = self._finish()
        finally:
            gc.enable()
        stats.unique = prepared.record_count + stats.withheld.total()
        stats.duplicate = stats.valid - stats.unique
        return prepared

    def _read_block(self, block: RowBlock) -> RejectedRows:
        """Store and count the valid records of a block, and return its rejected rows."""
        by_column = self._extract_identifiers(block)
        for column in by_column:
            if column.column.type.is_hashed:
                self.stats.hashed_values += column.hashed_count
                self.stats.plain_values += column.valid_count - column.hashed_count
        return self._store_valid_records(by_column, block)

    def _extract_identifiers(self, block: RowBlock) -> list[ColumnIdentifiers]:
        return [extract_column_identifiers(column, block) for column in self.columns]

    @abc.abstractmethod
    def _store_valid_records(self, by_column: Sequence[ColumnIdentifiers], block: RowBlock) -> RejectedRows:
        """Store and count the valid records of a block, and return its rejected rows."""

    @abc.abstractmethod
    def _finish(self) -> PreparedRecords:
        """Return the unique records to send, once all blocks are read."""


@dataclass(kw_only=True, eq=False)
class IdentifierRecordReader(QueryResultReader):
    """Stores each valid identifier in a query's result as a record of its own."""

    spool: Spool

    def __post_init__(self) -> None:
        super().__post_init__()
        self._files.callback(self.spool.close)
        # A row has as many values as there are columns, but for arrays.
        self.stats.columns = len(self.columns) + sum(column.is_array for column in self.columns)

    def _store_valid_records(self, by_column: Sequence[ColumnIdentifiers], _block: RowBlock) -> RejectedRows:
        """Store each valid identifier of a block. Return a row once for each of its invalid values."""
        for column in by_column:
            self.stats.valid += column.valid_count
            self._spool_identifiers(column)
        rejected = [each for column in by_column for each in column.rejected]
        if len(by_column) == 1:
            return rejected
        # A NULL is rejected only in a row that has nothing else, and once.
        nulls = Counter(row for row, reason in rejected if reason is Reason.NULL)
        null_rows = [(row, Reason.NULL) for row, count in nulls.items() if count == len(by_column)]
        return [each for each in rejected if each[1] is not Reason.NULL] + null_rows

    def _spool_identifiers(self, column: ColumnIdentifiers) -> None:
        self.spool.add(column.digests_for_matching)

    def _finish(self) -> PreparedRecords:
        self.spool.finish()
        return PreparedRecords({SINGLE_DIGEST_LAYOUT: self.spool}, choose_customer_list_type(self.columns))


class RowRecordReader(QueryResultReader):
    """Stores each row of a query's result that has a valid identifier as one record."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._kept = RowSpool()
        self._files.callback(self._kept.close)

    def _store_valid_records(self, by_column: Sequence[ColumnIdentifiers], block: RowBlock) -> RejectedRows:
        """Store each row with a valid identifier. Return the others, each for one reason: NULL only if all are null."""
        row_count = len(block[0])
        reasons: defaultdict[int, list[Reason]] = defaultdict(list)
        for column in by_column:
            for position, reason in column.rejected:
                reasons[position].append(reason)
        rows: list[RowIdentifiers] = []
        if all(column.rows is None for column in by_column):
            rows += zip(*(column.identifiers for column in by_column), strict=True)
        else:
            rows += zip(*(column.group_by_row(row_count) for column in by_column), strict=True)
            # A row with too many combinations counts as one without identifiers.
            for position, row in enumerate(rows):
                if prod(max(len(values), 1) for values in row) > MOST_COMBINATIONS_PER_ROW:
                    rows[position] = [[] for _ in row]
                    reasons[position] = [Reason.TOO_MANY_COMBINATIONS]
        rejected = []
        for position, of_row in sorted(reasons.items()):
            given = [reason for reason in of_row if reason is not Reason.NULL]
            if any(rows[position]):
                self.stats.invalid_keys_by_reason.update(reason.value for reason in given)
            else:
                rejected.append((position, given[0] if given else Reason.NULL))
        self.stats.valid += row_count - len(rejected)
        self._spool_rows(rows)
        return rejected

    def _spool_rows(self, rows: list[RowIdentifiers]) -> None:
        for layout, records in encode_rows(self.columns, rows).items():
            self._kept.add(layout, records)

    def _finish(self) -> PreparedRecords:
        prepared = replace(self._kept.finish(), list_type=choose_customer_list_type(self.columns))
        self.stats.keys = sum(
            (len(layout.keys) + (layout.id_length > 0)) * file.unique_count for layout, file in prepared.files.items()
        )
        if reasons := format_reason_counts(self.stats.invalid_keys_by_reason):
            log.warning("invalid identifiers were left out of rows that also have valid identifiers: %s", reasons)
        return prepared
