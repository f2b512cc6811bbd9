"""The first phase: the rows of a job → unique digests in the spool, and counts of what is invalid. Sends nothing."""

from __future__ import annotations

import abc
import contextlib
import gc
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from td_pinterest_op.records.batch import Batch, Digests, RowRecords
from td_pinterest_op.records.columns import Column, identifier_columns, list_type, row_columns
from td_pinterest_op.records.digests import key_block
from td_pinterest_op.records.identifiers import Reason
from td_pinterest_op.records.phones import check_country
from td_pinterest_op.records.plan import NAMED_ROWS
from td_pinterest_op.records.row_spool import RowSpool
from td_pinterest_op.records.rows import encode_block
from td_pinterest_op.records.spool import Spool, fingerprint
from td_pinterest_op.settings.parse import Settings
from td_pinterest_op.settings.table import RecordsFormat
from td_pinterest_op.stats import Stats
from td_pinterest_op.treasure_data.job import Job

log = logging.getLogger(__name__)

# One more than an error names: it then knows whether there are more.
KEPT_ROWS = NAMED_ROWS + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The records to send: how many, the type of a list that is created for them, and the spool that holds them."""

    unique: int
    list_type: str
    spool: Spool | RowSpool | None

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


class Preparation(abc.ABC):
    """Fills a spool and counts. `first_invalid`: the first invalid rows, counted from 1; lines where there are any."""

    def __init__(self, *, spool: Spool | RowSpool, stats: Stats, list_type: str) -> None:
        self._spool, self._stats, self._list_type = spool, stats, list_type
        self.first_invalid: list[int] = []
        self.line_of: Callable[[int], int] | None = None

    def read(self, blocks: Iterable[list[list[Any]]], *, progress: Callable[[int], None]) -> None:
        """Read all rows; `progress` is called with their number so far. Raises JobError, TreasureDataError, OSError."""
        with _no_search_for_cycles():
            for block in blocks:
                self._take(block)
                self._stats.read += len(block[0])
                progress(self._stats.read)
            self._spool.finish()
        self._stats.unique, self._stats.duplicate = self._spool.unique, self._spool.duplicate

    @property
    def prepared(self) -> Prepared:
        """What was read, ready to be sent."""
        return Prepared(unique=self._stats.unique, list_type=self._list_type, spool=self._spool)

    @abc.abstractmethod
    def _take(self, block: list[list[Any]]) -> None:
        """Put what is valid in a block into the spool, and count."""

    def _reject(self, rejected: Sequence[tuple[int, Reason]]) -> None:
        self._stats.invalid_by_reason.update(reason.value for _, reason in rejected)
        rows = {self._stats.read + position + 1 for position, _ in rejected}
        self._stats.invalid_rows += len(rows)
        missing = KEPT_ROWS - len(self.first_invalid)
        if missing:
            first = sorted(rows)[:missing]
            self.first_invalid += map(self.line_of, first) if self.line_of else first


class IdentifierPreparation(Preparation):
    """Every valid value is a record."""

    def __init__(self, *, columns: Sequence[Column], spool: Spool, stats: Stats) -> None:
        super().__init__(spool=spool, stats=stats, list_type=list_type(columns))
        self._columns, self._digests = columns, spool
        stats.columns = len(columns)

    def _take(self, block: list[list[Any]]) -> None:
        rejected: list[tuple[int, Reason]] = []
        for column in self._columns:
            found = key_block(column.type, block[column.position])
            digests = list(filter(None, found.keys)) if found.rejected else found.keys
            self._digests.add(digests)
            self._stats.valid += len(digests)
            rejected += found.rejected
        if len(self._columns) > 1:
            rejected = _without_lone_nulls(rejected, columns=len(self._columns))
        self._reject(rejected)


class RowPreparation(Preparation):
    """Every row with a valid key is a record. `default_country`: see `phones`."""

    def __init__(
        self, *, columns: Sequence[Column], default_country: str | None, spool: RowSpool, stats: Stats
    ) -> None:
        super().__init__(spool=spool, stats=stats, list_type=list_type([]))
        self._columns, self._default_country, self._rows = columns, default_country, spool

    def read(self, blocks: Iterable[list[list[Any]]], *, progress: Callable[[int], None]) -> None:
        """Read all blocks, and warn of keys that valid rows go without."""
        super().read(blocks, progress=progress)
        self._stats.keys = self._rows.keys
        reasons = ", ".join(f"{reason} {count}" for reason, count in self._stats.invalid_keys_by_reason.most_common())
        if reasons:
            log.warning("valid rows go without keys that are invalid: %s", reasons)

    def _take(self, block: list[list[Any]]) -> None:
        encoded = encode_block(self._columns, block, default_country=self._default_country)
        self._rows.add(encoded.rows)
        self._stats.valid += sum(map(len, encoded.rows.values()))
        self._stats.invalid_keys_by_reason.update(
            {reason.value: count for reason, count in encoded.rejected_keys.items()}
        )
        self._reject(encoded.rejected)


def spool_for(settings: Settings) -> Spool | RowSpool:
    """An empty spool for the records that the settings ask for. Raises OSError."""
    return RowSpool() if settings.records is RecordsFormat.ROWS else Spool()


def preparation_of(job: Job, *, settings: Settings, spool: Spool | RowSpool, stats: Stats) -> Preparation:
    """What reads the result of a job into the spool. Raises JobError for its columns, WorkflowError (see `phones`)."""
    preparation: Preparation
    if isinstance(spool, Spool):
        preparation = IdentifierPreparation(columns=identifier_columns(job, settings.columns), spool=spool, stats=stats)
    else:
        check_country(settings.default_country)
        columns = row_columns(job, settings.columns)
        preparation = RowPreparation(
            columns=columns, default_country=settings.default_country, spool=spool, stats=stats
        )
    preparation.line_of = job.line_of
    return preparation


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
    return [found for found in rejected if found[1] is not Reason.NULL] + [
        (position, Reason.NULL) for position, count in nulls.items() if count == columns
    ]
