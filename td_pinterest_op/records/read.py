"""The first phase: a job's rows → unique digests in the spool, and what is wrong with the rows. Nothing is sent."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.identifiers import IdentifierType, Reason, digest_block
from td_pinterest_op.records.plan import NAMED_ROWS
from td_pinterest_op.records.spool import Spool, fingerprint
from td_pinterest_op.stats import Stats

# One more than an error names, so that it knows whether there are more.
KEPT_ROWS = NAMED_ROWS + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The records to send: how many, the type of a list that is created for them, and the spool that holds them."""

    unique: int
    list_type: str
    spool: Spool | None

    @classmethod
    def nothing(cls) -> Prepared:
        """For actions that read no rows."""
        return cls(unique=0, list_type=IdentifierType.EMAIL.name, spool=None)

    @property
    def fingerprint(self) -> str:
        """The same for the same records, whatever job they come from."""
        return self.spool.fingerprint if self.spool else fingerprint()

    def batches(self, size: int) -> Iterator[bytes]:
        """The records, 32 bytes each, `size` at a time. Every call starts anew and gives the same. Raises OSError."""
        return self.spool.batches(size) if self.spool else iter(())


class Preparation:
    """Fills a spool and counts. `first_invalid` are the positions of the first invalid rows, the first row being 1."""

    def __init__(self, *, columns: Sequence[Column], spool: Spool, stats: Stats) -> None:
        self._columns, self._spool, self._stats = columns, spool, stats
        stats.columns = len(columns)
        self.first_invalid: list[int] = []

    def read(self, blocks: Iterable[list[list[Any]]], *, progress: Callable[[int], None]) -> None:
        """Read all rows; `progress` is called with their number so far. Raises JobError, TreasureDataError, OSError."""
        with _no_search_for_cycles():
            for block in blocks:
                self._take(block)
                self._stats.read += len(block[0])
                progress(self._stats.read)
            self._spool.finish()
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
        rows = {self._stats.read + position + 1 for position, _ in rejected}
        self._stats.invalid_rows += len(rows)
        if len(self.first_invalid) < KEPT_ROWS:
            self.first_invalid = sorted({*self.first_invalid, *rows})[:KEPT_ROWS]


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
    """With several columns a null means only that a row has no such identifier; a row of nulls is one invalid row."""
    nulls: dict[int, int] = {}
    for position, reason in rejected:
        if reason is Reason.NULL:
            nulls[position] = nulls.get(position, 0) + 1
    return [found for found in rejected if found[1] is not Reason.NULL] + [
        (position, Reason.NULL) for position, count in nulls.items() if count == columns
    ]
