"""The first phase: the rows of a job → unique records in a spool, and counts of what is invalid. Sends nothing."""

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
from td_pinterest_op.records.plan import NAMED_ROWS
from td_pinterest_op.records.row_spool import RowSpool
from td_pinterest_op.records.rows import EncodedRows, encode_rows, group_by_shape
from td_pinterest_op.records.spool import Sorted, Spool, fingerprint
from td_pinterest_op.stats import Stats

log = logging.getLogger(__name__)

# One more than an error names: it then knows whether there are more.
KEPT_ROWS = NAMED_ROWS + 1

Block = Sequence[Sequence[Any]]
"""Some rows, column by column."""
Rejected = Sequence[tuple[int, Reason]]
"""Rows of a block, counted from 0, and what is wrong with each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The records to send: how many, the type of a list that is created for them, and the spool that holds them."""

    unique: int
    list_type: str
    spool: Sorted | RowSpool | None

    @classmethod
    def empty(cls) -> Prepared:
        """For actions that read no rows."""
        return cls(unique=0, list_type=list_type([]), spool=None)

    @property
    def upload_count(self) -> int:
        """The records as Pinterest counts them: with the further combinations of a row's values."""
        return self.spool.upload_count if isinstance(self.spool, RowSpool) else self.unique

    @property
    def fingerprint(self) -> str:
        """The same for the same records, whatever job they come from."""
        return self.spool.fingerprint if self.spool else fingerprint()

    def count_batches(self, size: int) -> int:
        """How many there are of `batches`."""
        return self.spool.count_batches(size) if self.spool else 0

    def batches(self, size: int) -> Iterator[Batch]:
        """The records, `size` at a time. Every call starts again and gives the same. Raises OSError."""
        return self.spool.batches(size) if self.spool else iter(())


class Preparation(abc.ABC):
    """Reads blocks and counts. `first_invalid`: the first invalid rows, counted from 1; lines where there are any.

    `by`: the position of a column without which a row is invalid. `line_of`: see `Job`.
    """

    _list_type = list_type([])

    def __init__(
        self,
        *,
        columns: Sequence[Column],
        stats: Stats,
        default_country: str | None = None,
        by: int | None = None,
        line_of: Callable[[int], int] | None = None,
    ) -> None:
        self.columns, self._stats, self._default_country, self._by = columns, stats, default_country, by
        self._line_of = line_of
        self.first_invalid: list[int] = []
        self.prepared = Prepared.empty()
        self._files = contextlib.ExitStack()

    def close(self) -> None:
        """Frees memory and files. May be called again."""
        self._files.close()

    def read(self, blocks: Iterable[Block], *, progress: Callable[[int], None]) -> None:
        """Read all rows; `progress` is called with their number so far. Raises JobError, TreasureDataError, OSError."""
        gc.disable()  # rows never form reference cycles; to search for some costs 4 % of the reading time
        try:
            for block in blocks:
                self._reject(self._judge(block) if self._by is None else self._judge_with_key(block, block[self._by]))
                self._stats.read += len(block[0])
                progress(self._stats.read)
            spool, withheld = self._finish()
        finally:
            gc.enable()
        self._stats.withheld.update(withheld)
        self._stats.unique = spool.unique + self._stats.withheld.total()
        self._stats.duplicate = self._stats.valid - self._stats.unique
        self.prepared = Prepared(unique=spool.unique, list_type=self._list_type, spool=spool)

    def _judge_with_key(self, block: Block, keys: Sequence[object]) -> Rejected:
        keyless = [row for row, key in enumerate(keys) if key is None]
        if not keyless:
            return self._judge(block)
        self._shield(self._keys_of(_select(block, keyless)), len(keyless))
        rows = [row for row, key in enumerate(keys) if key is not None]
        rejected = self._judge(_select(block, rows))
        return [*((row, Reason.NO_CONTROL_KEY) for row in keyless), *((rows[row], reason) for row, reason in rejected)]

    def _keys_of(self, block: Block) -> list[ColumnKeys]:
        return [column_keys(column, block, default_country=self._default_country) for column in self.columns]

    def _judge(self, block: Block) -> Rejected:
        by_column = self._keys_of(block)
        for column in by_column:
            self._stats.hashed_values += column.hashed
            self._stats.plain_values += column.plain
        return self._take(block, by_column)

    def _shield(self, by_column: Sequence[ColumnKeys], count: int) -> None:  # noqa: B027 - without lists nothing is to do
        """Note what `count` rows hold that are not sent: it may have to be withheld of others. Raises OSError."""

    @abc.abstractmethod
    def _take(self, block: Block, by_column: Sequence[ColumnKeys]) -> Rejected:
        """Keep what is valid in a block, and count it; returns what is not, by its row."""

    @abc.abstractmethod
    def _finish(self) -> tuple[Sorted | RowSpool, Mapping[str, int]]:
        """Once all blocks are read: the records to send, each once, and how many are withheld, by reason."""

    def _reject(self, rejected: Rejected) -> None:
        self._stats.invalid_by_reason.update(reason.value for _, reason in rejected)
        rows = {self._stats.read + position + 1 for position, _ in rejected}
        self._stats.invalid_rows += len(rows)
        first = sorted(rows)[: KEPT_ROWS - len(self.first_invalid)]
        self.first_invalid += map(self._line_of, first) if self._line_of else first


class IdentifierPreparation(Preparation):
    """Every valid value is a record."""

    def __init__(self, **of_rows: Any) -> None:
        super().__init__(**of_rows)
        self._list_type = list_type(self.columns)
        # A row has as many values as there are columns, but for arrays.
        self._stats.columns = len(self.columns) + sum(column.is_array for column in self.columns)

    def _take(self, block: Block, by_column: Sequence[ColumnKeys]) -> Rejected:
        self._keep(block, by_column)
        self._stats.valid += sum(column.valid for column in by_column)
        rejected = [rejection for column in by_column for rejection in column.rejected]
        return _without_lone_nulls(rejected, columns=len(by_column)) if len(by_column) > 1 else rejected

    @abc.abstractmethod
    def _keep(self, block: Block, by_column: Sequence[ColumnKeys]) -> None:
        """Keep the valid identifiers. Raises OSError."""


class AllIdentifiers(IdentifierPreparation):
    """All of them are sent."""

    def __init__(self, spool: Spool, **of_rows: Any) -> None:
        super().__init__(**of_rows)
        self._spool = spool
        self._files.callback(spool.close)

    def _keep(self, _block: Block, by_column: Sequence[ColumnKeys]) -> None:
        for column in by_column:
            self._spool.add(column.identifiers)

    def _finish(self) -> tuple[Spool, Mapping[str, int]]:
        self._spool.finish()
        return self._spool, {}


class RowPreparation(Preparation):
    """Every row with a valid key is a record; all of them are sent."""

    def __init__(self, **of_rows: Any) -> None:
        super().__init__(**of_rows)
        self._kept = RowSpool()
        self._files.callback(self._kept.close)

    def _take(self, block: Block, by_column: Sequence[ColumnKeys]) -> Rejected:
        rows = encode_rows(by_column, count=len(block[self.columns[0].position]))
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
        reasons = ", ".join(f"{reason} {count}" for reason, count in self._stats.invalid_keys_by_reason.most_common())
        if reasons:
            log.warning("valid rows go without keys that are invalid: %s", reasons)
        return self._kept, {}


def _select(block: Block, rows: Sequence[int]) -> Block:
    return [[column[row] for row in rows] for column in block]


def _without_lone_nulls(rejected: Rejected, *, columns: int) -> Rejected:
    """With several columns a null only says that a row has no such identifier; a row of nulls is one invalid row."""
    nulls = Counter(position for position, reason in rejected if reason is Reason.NULL)
    of_whole_rows = [(position, Reason.NULL) for position, count in nulls.items() if count == columns]
    return [rejection for rejection in rejected if rejection[1] is not Reason.NULL] + of_whole_rows
