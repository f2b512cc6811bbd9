"""The first phase: the rows of a job → unique records in a spool, and counts of what is invalid. Sends nothing."""

from __future__ import annotations

import abc
import contextlib
import gc
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from td_pinterest_op.identifiers.rules import Reason
from td_pinterest_op.records.batch import Batch, Digests, RowRecords
from td_pinterest_op.records.columns import Column, list_type
from td_pinterest_op.records.plan import NAMED_ROWS
from td_pinterest_op.records.row_spool import RowSpool
from td_pinterest_op.records.rows import EncodedRows, by_shape, encode
from td_pinterest_op.records.spool import Sorted, Spool, fingerprint
from td_pinterest_op.records.values import ColumnKeys, column_keys
from td_pinterest_op.stats import Stats

_Kind = TypeVar("_Kind", bound=Sorted | RowSpool, covariant=True)
_OfAll = TypeVar("_OfAll", Spool, RowSpool)

log = logging.getLogger(__name__)

# One more than an error names: it then knows whether there are more.
KEPT_ROWS = NAMED_ROWS + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The records to send: how many, the type of a list that is created for them, and the spool that holds them."""

    unique: int
    list_type: str
    spool: Sorted | RowSpool | None

    @classmethod
    def nothing(cls) -> Prepared:
        """For actions that read no rows."""
        return cls(unique=0, list_type=list_type([]), spool=None)

    @property
    def fingerprint(self) -> str:
        """The same for the same records, whatever job they come from."""
        return self.spool.fingerprint if self.spool else fingerprint()

    def count_batches(self, size: int) -> int:
        """How many there are of `batches`."""
        return self.spool.count_batches(size) if isinstance(self.spool, RowSpool) else math.ceil(self.unique / size)

    def batches(self, size: int) -> Iterator[Batch]:
        """The records, `size` at a time. Every call starts anew and gives the same. Raises OSError."""
        if self.spool is None:
            return iter(())
        return (
            map(RowRecords, self.spool.batches(size))
            if isinstance(self.spool, RowSpool)
            else map(Digests, self.spool.batches(size))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[_Kind]):
    """What is left of the rows: the spool of the records to send, and how many records are withheld, by reason."""

    spool: _Kind
    withheld: Mapping[str, int] = field(default_factory=dict)


class Identifiers(Protocol):
    """Takes the valid identifiers of one block after the other."""

    def take(self, block: Sequence[Sequence[object]], by_column: Sequence[ColumnKeys]) -> None:
        """`by_column` are the keys of the block's columns."""

    def finish(self) -> Outcome[Sorted]:
        """What is to be sent of them, each once."""

    def close(self) -> None:
        """Frees memory and files. May be called again."""


class RecordRows(Protocol):
    """Takes the valid rows of one block after the other."""

    def take(self, block: Sequence[Sequence[object]], by_column: Sequence[ColumnKeys], rows: EncodedRows) -> None:
        """`rows` are those of the block, made of `by_column`, the keys of its columns."""

    def finish(self) -> Outcome[RowSpool]:
        """What is to be sent of them, each once."""

    def close(self) -> None:
        """Frees memory and files. May be called again."""


@dataclass(frozen=True, slots=True)
class _All(Generic[_OfAll]):
    """Everything goes into the spool, and is sent."""

    spool: _OfAll

    def finish(self) -> Outcome[_OfAll]:
        """All of it. Raises OSError."""
        self.spool.finish()
        return Outcome(spool=self.spool)

    def close(self) -> None:
        """Frees memory and files. May be called again."""
        self.spool.close()


class AllIdentifiers(_All[Spool]):
    """Sends every identifier."""

    def take(self, _block: Sequence[Sequence[object]], by_column: Sequence[ColumnKeys]) -> None:
        """Put them into the spool. Raises OSError."""
        for column in by_column:
            self.spool.add(column.identifiers)


class AllRows(_All[RowSpool]):
    """Sends every row."""

    def take(self, _block: Sequence[Sequence[object]], _by_column: Sequence[ColumnKeys], rows: EncodedRows) -> None:
        """Put them into the spool. Raises OSError."""
        self.spool.add(by_shape(rows.rows, rows.shapes))


class Preparation(abc.ABC):
    """Reads blocks and counts. `first_invalid`: the first invalid rows, counted from 1; lines where there are any.

    `by`: the position of a column without which a row is invalid. `line_of`: see `Job`.
    """

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
        self.prepared = Prepared.nothing()

    def read(self, blocks: Iterable[list[list[Any]]], *, progress: Callable[[int], None]) -> None:
        """Read all rows; `progress` is called with their number so far. Raises JobError, TreasureDataError, OSError."""
        with _no_search_for_cycles():
            for block in blocks:
                count = len(block[0])
                self._reject(self._judge(block) if self._by is None else self._judge_with_key(block, block[self._by]))
                self._stats.read += count
                progress(self._stats.read)
            outcome = self._finish()
        self._stats.withheld.update(outcome.withheld)
        to_send = outcome.spool.unique
        self._stats.unique = to_send + self._stats.withheld.total()
        self._stats.duplicate = self._stats.valid - self._stats.unique
        self.prepared = Prepared(unique=to_send, list_type=self._list_type(), spool=outcome.spool)

    def _judge_with_key(self, block: list[list[Any]], keys: list[Any]) -> Sequence[tuple[int, Reason]]:
        rows = [row for row, key in enumerate(keys) if key is not None]
        if len(rows) == len(keys):
            return self._judge(block)
        rejected = self._judge([[column[row] for row in rows] for column in block])
        nulls = [(row, Reason.NULL) for row, key in enumerate(keys) if key is None]
        return [*nulls, *((rows[row], reason) for row, reason in rejected)]

    def _judge(self, block: list[list[Any]]) -> Sequence[tuple[int, Reason]]:
        by_column = [column_keys(column, block, default_country=self._default_country) for column in self.columns]
        for column in by_column:
            self._stats.hashed_values += column.hashed
            self._stats.plain_values += column.plain
        return self._take(block, by_column)

    @abc.abstractmethod
    def _take(self, block: list[list[Any]], by_column: Sequence[ColumnKeys]) -> Sequence[tuple[int, Reason]]:
        """Hand on what is valid in a block, and count it; returns what is not, by its row."""

    @abc.abstractmethod
    def _finish(self) -> Outcome[Sorted] | Outcome[RowSpool]:
        """Once all blocks are read."""

    @abc.abstractmethod
    def _list_type(self) -> str:
        """The type of a list that is created for the records."""

    def _reject(self, rejected: Sequence[tuple[int, Reason]]) -> None:
        self._stats.invalid_by_reason.update(reason.value for _, reason in rejected)
        rows = {self._stats.read + position + 1 for position, _ in rejected}
        self._stats.invalid_rows += len(rows)
        missing = KEPT_ROWS - len(self.first_invalid)
        if missing:
            first = sorted(rows)[:missing]
            self.first_invalid += map(self._line_of, first) if self._line_of else first


class IdentifierPreparation(Preparation):
    """Every valid value is a record."""

    def __init__(self, identifiers: Identifiers, **of_rows: Any) -> None:
        super().__init__(**of_rows)
        self._identifiers = identifiers
        # A row has as many values as there are columns, but for arrays.
        self._stats.columns = len(self.columns) + sum(column.is_array for column in self.columns)

    def _take(self, block: list[list[Any]], by_column: Sequence[ColumnKeys]) -> Sequence[tuple[int, Reason]]:
        self._identifiers.take(block, by_column)
        self._stats.valid += sum(column.valid for column in by_column)
        rejected = [rejection for column in by_column for rejection in column.rejected]
        return _without_lone_nulls(rejected, columns=len(by_column)) if len(by_column) > 1 else rejected

    def _finish(self) -> Outcome[Sorted]:
        return self._identifiers.finish()

    def _list_type(self) -> str:
        return list_type(self.columns)


class RowPreparation(Preparation):
    """Every row with a valid key is a record."""

    def __init__(self, rows: RecordRows, **of_rows: Any) -> None:
        super().__init__(**of_rows)
        self._record_rows = rows

    def _take(self, block: list[list[Any]], by_column: Sequence[ColumnKeys]) -> Sequence[tuple[int, Reason]]:
        rows = encode(by_column, count=len(block[self.columns[0].position]))
        self._record_rows.take(block, by_column, rows)
        self._stats.valid += rows.valid
        self._stats.invalid_keys_by_reason.update({reason.value: count for reason, count in rows.rejected_keys.items()})
        return rows.rejected

    def _finish(self) -> Outcome[RowSpool]:
        outcome = self._record_rows.finish()
        self._stats.keys = outcome.spool.keys
        reasons = ", ".join(f"{reason} {count}" for reason, count in self._stats.invalid_keys_by_reason.most_common())
        if reasons:
            log.warning("valid rows go without keys that are invalid: %s", reasons)
        return outcome

    def _list_type(self) -> str:
        return list_type([])


@contextlib.contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Rows never form reference cycles; searching for some costs 4 % of the reading time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _without_lone_nulls(rejected: list[tuple[int, Reason]], *, columns: int) -> list[tuple[int, Reason]]:
    """With several columns a null only says that a row has no such identifier; a row of nulls is one invalid row."""
    nulls: dict[int, int] = {}
    for position, reason in rejected:
        if reason is Reason.NULL:
            nulls[position] = nulls.get(position, 0) + 1
    return [rejection for rejection in rejected if rejection[1] is not Reason.NULL] + [
        (position, Reason.NULL) for position, count in nulls.items() if count == columns
    ]
