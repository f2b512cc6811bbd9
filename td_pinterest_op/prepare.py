"""The first phase: a job's rows → unique digests in the spool, and what is wrong with the rows. Nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from td_pinterest_op.identifiers import Reason, digest_block
from td_pinterest_op.job import Column
from td_pinterest_op.job_result import JobResult
from td_pinterest_op.spool import Spool
from td_pinterest_op.stats import Stats

# Row numbers that an error names.
NAMED_ROWS = 10


class Preparation:
    """Fills a spool and counts. `first_invalid` are the positions of the first invalid rows, the first row being 1."""

    def __init__(self, *, columns: Sequence[Column], spool: Spool, stats: Stats) -> None:
        self._columns, self._spool, self._stats = columns, spool, stats
        self.first_invalid: list[int] = []

    def read(self, result: JobResult, *, progress: Callable[[int], None]) -> None:
        """Read all rows; `progress` is called with their number so far. Raises JobError, TreasureDataError, OSError."""
        for block in result:
            self._take(block)
            self._stats.read += len(block[0])
            progress(self._stats.read)
        self._spool.seal()
        self._stats.unique, self._stats.duplicate = self._spool.unique, self._spool.duplicate

    def _take(self, block: list[list[Any]]) -> None:
        rejected: list[tuple[int, Reason]] = []
        for column in self._columns:
            digested = digest_block(column.kind, block[column.position])
            self._spool.add(digested.digests)
            self._stats.valid += len(digested.digests)
            rejected += digested.rejected
        if len(self._columns) > 1:
            rejected = _without_lone_nulls(rejected, columns=len(self._columns))
        self._stats.invalid_by_reason.update(reason.value for _, reason in rejected)
        if len(self.first_invalid) < NAMED_ROWS:
            rows = {self._stats.read + position + 1 for position, _ in rejected}
            self.first_invalid = sorted({*self.first_invalid, *rows})[:NAMED_ROWS]


def _without_lone_nulls(rejected: list[tuple[int, Reason]], *, columns: int) -> list[tuple[int, Reason]]:
    """With several columns a null means only that a row has no such identifier; a row of nulls is one invalid row."""
    nulls: dict[int, int] = {}
    for position, reason in rejected:
        if reason is Reason.NULL:
            nulls[position] = nulls.get(position, 0) + 1
    return [found for found in rejected if found[1] is not Reason.NULL] + [
        (position, Reason.NULL) for position, count in nulls.items() if count == columns
    ]
