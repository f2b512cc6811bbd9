"""The outcome of a run, published alike by every operator: its error's message, its figures in the log, page, history.

The history of a task has rows about its runs, in a table in the user's warehouse. If it cannot be read or written, that
causes one warning. It never fails a run, nor delays it beyond a time limit.
"""

import contextlib
import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from td_pinterest_op import __version__
from td_pinterest_op.errors import ExportError, JobError, StoppedError, TreasureDataError
from td_pinterest_op.http.retry import retry
from td_pinterest_op.redaction.secret import escape
from td_pinterest_op.report.page_file import report_run
from td_pinterest_op.run_history.history_table import (
    FAILED,
    SUCCESS,
    Row,
    build_insert_statement,
    build_table_statement,
)
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.settings.types import TableName
from td_pinterest_op.task_runtime.process import may_resubmit
from td_pinterest_op.task_runtime.services import Services
from td_pinterest_op.task_runtime.task import Task, find_workflow_name, require_database
from td_pinterest_op.treasure_data.job import Source, run_statement
from td_pinterest_op.treasure_data.result import read_small_result
from td_pinterest_op.treasure_data.tables import list_tables
from td_pinterest_op.treasure_data.td_api import RUN_AGAIN, TreasureData

log = logging.getLogger(__name__)

_T = TypeVar("_T")

TIME_LIMIT = 30.0
"""Seconds by which reading or writing a history may delay its task."""
CREATION_TIME_LIMIT = 180.0
"""Seconds by which making the table, or adding columns that a new version needs, may delay the first run."""
# Before a statement is tried again, in seconds.
_WAITS = (0.5, 2.0)
# Rows of one INSERT: Treasure Data rejects a query of more than a million characters.
_ROWS_AT_A_TIME = 200


@dataclass(kw_only=True)
class History:
    """The rows about one task's runs, in a table of Treasure Data. After a call that fails, later calls do nothing."""

    task: Task
    connect: Callable[[], TreasureData]  # may raise ExportError
    database: str
    table: str
    now: Callable[[], float]  # returns the time in seconds since 1970
    _is_table_ready: bool = False  # whether the table has all columns
    _is_disabled: bool = False  # whether a call has failed

    def write_rows(self, rows: Sequence[Row]) -> None:
        """Add rows to the table, each with further columns about the task and its session. Never raises."""
        task = {
            "time": int(self.now()),
            "workflow": find_workflow_name(self.task.name),
            "session_time": self.task.params.get("session_time"),
            # A run without a workflow is a session of its own.
            "session_uuid": self.task.session_uuid or uuid.uuid4(),
            "attempt_id": self.task.attempt_id or None,
            "task": self.task.label or None,
            "version": __version__,
        }
        given = [{**task, **row} for row in rows]
        # The run is over: a signal interrupts only the writing of the history.
        with contextlib.suppress(StoppedError):
            for start in range(0, len(given), _ROWS_AT_A_TIME):
                statement = build_insert_statement(self.table, given[start : start + _ROWS_AT_A_TIME])
                self._execute_query(run_statement, statement)

    def read_rows(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of an SQL query, or an empty list if the history cannot be read. Raises StoppedError."""
        return self._execute_query(read_small_result, query) or []

    def _execute_query(self, execute: Callable[[TreasureData, Source], _T], query: str) -> _T | None:
        """Return what `execute` returns for an SQL query, or None after an error, which is logged as a warning.

        Raises StoppedError. After an error, further calls return None.
        """
        if self._is_disabled:
            return None
        try:
            td = self.connect()
            # One source for all tries: a request that is repeated because its response was lost is the same job.
            source = Source(query=query, database=self.database, purpose="history")
            preparing = td.with_time_limit(CREATION_TIME_LIMIT)
            errors = (JobError, TreasureDataError)  # a job fails while another run makes the table
            retry(lambda: self._prepare_table(preparing), _WAITS, on=errors, sleep=preparing.sleep)
            limited = td.with_time_limit(TIME_LIMIT)
            return retry(lambda: execute(limited, source), _WAITS, on=TreasureDataError, sleep=limited.sleep)
        except Exception as error:
            self._is_disabled = True
            if isinstance(error, StoppedError):
                raise
            log.warning(
                "the history %s.%s failed: %s. The run continues, and may have no row there",
                self.database,
                self.table,
                str(ExportError.from_exception(error)).removesuffix(RUN_AGAIN),
            )
            return None

    def _prepare_table(self, td: TreasureData) -> None:
        """Create the table, or add the columns that a table of an earlier version lacks. Raises ExportError."""
        if self._is_table_ready:
            return
        table = list_tables(td.with_time_limit(TIME_LIMIT), self.database).get(self.table)
        existing = table.columns if table and table.schema else None
        if statement := build_table_statement(self.table, existing):
            run_statement(td, Source(query=statement, database=self.database, purpose="history"))
        self._is_table_ready = True


def open_history(services: Services, table: TableName | None) -> History | None:
    """Return the history of a run's task, or None if `table` is None. Raises SettingsError if no database is known."""
    if table is None:
        return None
    return History(
        task=services.task,
        connect=lambda: services.treasure_data,
        database=require_history_database(services.task, table),
        table=table.table,
        now=services.timing.now,
    )


def require_history_database(task: Task, table: TableName) -> str:
    """Return the name of a history table's database. Raises SettingsError if no database is known."""
    return table.database or require_database(task, needed_by=f"the history {table.table}")


def finish_run(
    services: Services,
    error: Exception | None,
    *,
    history: History | None,
    rows: Sequence[Row],
    about: Sequence[tuple[str, str | None]],
    statistics: Mapping[str, Any] | None = None,
    report: str | None = None,
) -> None:
    """Publish the outcome of a run in log, history and report page. Raise its `error`, if any, as an ExportError.

    `rows`: what the history gets; a row without an outcome gets the run's. `about`: the subjects that the error must
    name (see `name_subjects`). `statistics`: the figures for the log and the page. `report`: the page's path. A task
    that starts again publishes nothing. After a signal there is no time left to write to the history.
    """
    failure = ExportError.from_exception(error) if error else None
    if failure and may_resubmit(services.task, failure):
        raise failure
    if failure:
        name_subjects(failure, about)
    if statistics:
        level, text = (logging.ERROR, "statistics of the failed run") if failure else (logging.INFO, "statistics")
        log.log(level, "%s: %s", text, json.dumps(statistics))
        if report:
            report_run(Path(report), statistics, error=str(failure or ""), now=services.timing.utc())
    if history and not shutdown.is_requested():
        outcome = {"outcome": FAILED, "error": str(failure)} if failure else {"outcome": SUCCESS}
        history.write_rows([outcome | dict(row) for row in rows])
    if failure:
        raise failure


def name_subjects(error: ExportError, about: Sequence[tuple[str, str | None]]) -> None:
    """Add the subjects in `about` that an error's message does not name to the message, which may be read alone.

    `about`: what each subject is, and its id or name (None if unknown), such as ("ad account", "549755885175").
    """
    names = [(label, escape(subject)) for label, subject in about if subject]
    if unnamed := [f"{label} {name}" for label, name in names if name not in str(error)]:
        error.extend(f" ({', '.join(unnamed)})")
