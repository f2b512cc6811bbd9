"""The history table: rows go in and come out; a table that is missing, or lacks columns, is made ready on the way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from td_pinterest_op.errors import JobError, TreasureDataError
from td_pinterest_op.run_history.columns import Row
from td_pinterest_op.run_history.sql import insert_rows, make_table
from td_pinterest_op.treasure_data.api import TreasureData
from td_pinterest_op.treasure_data.job import Source, make_domain_key, run_statement
from td_pinterest_op.treasure_data.result import read_all

_T = TypeVar("_T")

# Waits between two tries, in seconds: two runs may be making the table at the same moment.
_WAITS = (0.5, 2.0)
# Rows of one INSERT: Treasure Data takes no query of more than a million characters.
_ROWS_AT_A_TIME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryTable:
    """The table `name` in `database`. Every method raises ExportError."""

    td: TreasureData
    database: str
    name: str

    def insert(self, rows: Sequence[Row], *, unless: str = "") -> None:
        """Add rows; with `unless`, a query, only if it finds nothing."""
        remaining = iter(rows)
        while some := list(islice(remaining, _ROWS_AT_A_TIME)):
            self._persist(partial(run_statement, self.td, self._source(insert_rows(self.name, some, unless=unless))))

    def read(self, query: str) -> list[dict[str, Any]]:
        """Return the rows that a query about the table finds."""
        return self._persist(lambda: read_all(self.td, self._source(query)))

    def _persist(self, use: Callable[[], _T]) -> _T:
        """Return `use()`. Where that fails, make the table ready, and try again."""
        for wait in _WAITS:
            try:
                return use()
            except JobError:
                # Another run may be at it as well: whether it helped is seen by the next try.
                with contextlib.suppress(JobError, TreasureDataError):
                    run_statement(self.td, self._source(make_table(self.name)))
            except TreasureDataError:
                pass
            self.td.sleep(wait)
        return use()

    def _source(self, query: str) -> Source:
        # The key makes one job of a request that is repeated because its answer was lost.
        return Source(query=query, database=self.database, domain_key=make_domain_key())
