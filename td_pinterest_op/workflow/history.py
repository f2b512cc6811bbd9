"""The history of a task: rows about its runs, in a table in the user's warehouse.

A history that cannot be read or written causes one warning. It never fails a run, nor delays it for long.
"""

import concurrent.futures
import contextlib
import logging
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from td_pinterest_op import __version__
from td_pinterest_op.errors import ExportError, JobError, StoppedError, TreasureDataError
from td_pinterest_op.http.retry import Retry
from td_pinterest_op.http.transport import Transport
from td_pinterest_op.run_history.table import Row, build_create_statements, build_insert_statement
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import Timing, format_duration
from td_pinterest_op.settings.types import TableName
from td_pinterest_op.treasure_data.job import Source, run_statement
from td_pinterest_op.treasure_data.result import read_small_result
from td_pinterest_op.treasure_data.td_api import RUN_AGAIN, TreasureData
from td_pinterest_op.workflow.services import build_treasure_data_api
from td_pinterest_op.workflow.task import Task, find_workflow_name, read_database

log = logging.getLogger(__name__)

TIME_LIMIT = 30.0
"""Seconds by which reading or writing a history may delay its task."""
_CONNECT_TIMEOUT = 10.0
# Waits before retries, in seconds: two runs may create the table at the same moment.
_WAITS = (0.5, 2.0)
# Rows of one INSERT: Treasure Data rejects a query of more than a million characters.
_ROWS_AT_A_TIME = 200

_Execute = Callable[[TreasureData, Source], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The rows about one task's runs, in a table of Treasure Data. After a call that fails, later calls do nothing."""

    task: Task
    database: str
    table: str
    timing: Timing
    _disabled: threading.Event = field(default_factory=threading.Event)

    @property
    def task_columns(self) -> dict[str, Any]:
        """The columns that describe the task, equal in all rows of one write: a mapping from names to values."""
        task = self.task
        return {
            "time": int(self.timing.now()),
            "workflow": find_workflow_name(task.name),
            "session_time": task.params.get("session_time"),
            # A run without a workflow is a session of its own.
            "session_uuid": task.session_uuid or uuid.uuid4(),
            "attempt_id": task.attempt_id or None,
            "task": task.label or None,
            "version": __version__,
        }

    def write_rows(self, rows: Sequence[Row], *, unless: str = "") -> None:
        """Add rows, completed with columns about the task, unless the query `unless` returns a row. Never raises."""
        task = self.task_columns
        rows = [task | {name: value for name, value in row.items() if value is not None} for row in rows]
        batches = [rows[start : start + _ROWS_AT_A_TIME] for start in range(0, len(rows), _ROWS_AT_A_TIME)]
        queries = [build_insert_statement(self.table, batch, unless=unless) for batch in batches]
        # The run is over: a signal interrupts only the writing of the history.
        with contextlib.suppress(StoppedError):
            self._try_queries(run_statement, queries, failure="this run has no row in the history")

    def read_rows(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query, or an empty list if the history cannot be read. Raises StoppedError."""
        results = self._try_queries(read_small_result, [query], failure="nothing is known from the history")
        return [row for rows in results for row in rows]

    def _try_queries(self, execute: _Execute, queries: Sequence[str], *, failure: str) -> list[Any]:
        """Return a list of `execute`'s results for the queries. On errors, warn with `failure` in front, return []."""
        if self._disabled.is_set():
            return []
        try:
            future = shutdown.start_thread(partial(self._run_queries, execute, queries))
            if concurrent.futures.wait([future], TIME_LIMIT).done:
                return future.result()
            problem = f"Treasure Data took longer than {format_duration(TIME_LIMIT)}"
        except StoppedError:
            self._disabled.set()
            raise
        except Exception as error:
            problem = format_error(error).removesuffix(RUN_AGAIN)
        self._disabled.set()
        log.warning("%s %s.%s: %s. The run continues without its history", failure, self.database, self.table, problem)
        return []

    def _run_queries(self, execute: _Execute, queries: Sequence[str]) -> list[Any]:
        """Return a list of `execute`'s results for the queries, over a separate connection to Treasure Data."""
        # Without retries, which would log warnings.
        limits = {"connect_timeout": _CONNECT_TIMEOUT, "write_timeout": TIME_LIMIT, "read_timeout": TIME_LIMIT}
        with contextlib.closing(Transport(**limits, connections=1)) as transport:
            retry = Retry(count=0, initial_wait=1.0, longest_wait=TIME_LIMIT)
            timing = replace(self.timing, sleep=self._sleep_unless_disabled)
            td = build_treasure_data_api(self.task, transport=transport, retry=retry, timing=timing)
            return [self._run_query(td, execute, query) for query in queries]

    def _run_query(self, td: TreasureData, execute: _Execute, query: str) -> Any:
        """Return the result of `execute` for a query. After an error, create or extend the table, and try again."""
        # One source for all tries: a request that is repeated because its response was lost is the same job.
        source = Source(query=query, database=self.database, purpose="history")
        for wait in _WAITS:
            try:
                return execute(td, source)
            except JobError:
                # Another run may do the same: the next try shows whether the table is there.
                with contextlib.suppress(JobError, TreasureDataError):
                    run_statement(td, source.with_fresh_query(build_create_statements(self.table)))
            except TreasureDataError:
                pass
            td.sleep(wait)
        return execute(td, source)

    def _sleep_unless_disabled(self, seconds: float) -> None:
        """Sleep before a retry. Raises TimeoutError if a failure has disabled the history for the rest of this run."""
        if self._disabled.is_set():
            raise TimeoutError
        self.timing.sleep(seconds)


def open_history(task: Task, table: TableName | None, timing: Timing) -> History | None:
    """Return the history of a task, or None if `table` is None. Raises SettingsError if no database is known."""
    if table is None:
        return None
    return History(task=task, database=read_history_database(task, table), table=table.table, timing=timing)


def read_history_database(task: Task, table: TableName) -> str:
    """Return the name of a history table's database. Raises SettingsError if no database is known."""
    return table.database or read_database(task, needed_by=f"the history {table.table}")


def format_error(error: BaseException | None) -> str:
    """Return the text of an error, without anything that could quote a row, or "" for None."""
    if isinstance(error, Exception):
        return str(ExportError.from_exception(error))
    return type(error).__name__ if error else ""
