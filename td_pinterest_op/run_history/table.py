"""The history table: writing and reading rows. A table that is missing or lacks columns is created or altered."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from td_pinterest_op.errors import JobError, TreasureDataError
from td_pinterest_op.run_history.columns import Row
from td_pinterest_op.run_history.sql import create_table, insert_rows
from td_pinterest_op.treasure_data.api import TreasureData
from td_pinterest_op.treasure_data.job import Source, make_domain_key, run_statement
from td_pinterest_op.treasure_data.result import open_job_rows, read_as_dicts

_T = TypeVar("_T")

# Waits before retries, in seconds: two runs may create the table at the same moment.
_WAITS = (0.5, 2.0)
# Rows of one INSERT: Treasure Data rejects a query of more than a million characters.
_ROWS_AT_A_TIME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryTable:
    """The history table `name` in `database`. Every method raises ExportError."""

    td: TreasureData
    database: str
    name: str

    def insert(self, rows: Sequence[Row], *, unless: str = "") -> None:
        """Add rows, unless the query `unless` returns a row."""
        remaining = iter(rows)
        while batch := list(islice(remaining, _ROWS_AT_A_TIME)):
            source = self._build_source(insert_rows(self.name, batch, unless=unless))
            self._create_and_retry(partial(run_statement, self.td, source))

    def read(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query on the table."""
        return self._create_and_retry(lambda: read_as_dicts(open_job_rows(self.td, self._build_source(query))))

    def _create_and_retry(self, use: Callable[[], _T]) -> _T:
        """Return `use()`. If it fails, create the table, or add missing columns, and try again."""
        for wait in _WAITS:
            try:
                return use()
            except JobError:
                # Another run may do the same: the next try shows whether the table is there.
                with contextlib.suppress(JobError, TreasureDataError):
                    run_statement(self.td, self._build_source(create_table(self.name)))
            except TreasureDataError:
                pass
            self.td.sleep(wait)
        return use()

    def _build_source(self, query: str) -> Source:
        """Return a query on the table as a source, with a key that issues a repeated request only once."""
        # The key makes one job of a request that is repeated because its response was lost.
        return Source(query=query, database=self.database, domain_key=make_domain_key(), purpose="history")
