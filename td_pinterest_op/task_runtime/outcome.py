"""The outcome of a run, published alike by every operator: its error, and its figures in log, page and history."""

import contextlib
import json
import logging
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from td_pinterest_op import __version__
from td_pinterest_op.errors import ExportError, SettingsError, StoppedError, Subject
from td_pinterest_op.report.page_file import write_run_report
from td_pinterest_op.run_history.history_table import (
    COLUMN_TYPES,
    FAILED_OUTCOME,
    SUCCESS_OUTCOME,
    HistoryRow,
    build_insert_statement,
)
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.settings.types import TableName
from td_pinterest_op.stats import Stats
from td_pinterest_op.task_runtime.process import may_rerun_for_renewed_token
from td_pinterest_op.task_runtime.services import Services
from td_pinterest_op.task_runtime.task import Task, find_workflow_name, require_history_database
from td_pinterest_op.treasure_data.job import JobOrQuery, run_statement_job
from td_pinterest_op.treasure_data.result import read_small_result
from td_pinterest_op.treasure_data.tables import OperatorTable

log = logging.getLogger(__name__)

# Treasure Data rejects a query of more than a million characters.
_ROWS_PER_INSERT = 200


@dataclass(kw_only=True)
class HistoryTable(OperatorTable):
    """The rows about one task's runs, in a table of Treasure Data."""

    task: Task
    now: Callable[[], float]
    columns: Mapping[str, str] = field(default_factory=lambda: COLUMN_TYPES)
    identifying_columns: Collection[str] = ("kind", "outcome", "session_uuid")
    description: str = "history"

    def write_rows(self, rows: Sequence[HistoryRow]) -> None:
        """Add rows to the table, each with the columns of `build_run_columns` before its own. Never raises."""
        run = build_run_columns(self.task, now=self.now())
        given = [run | dict(row) for row in rows]
        # The run is over: a signal interrupts only the writing of the history.
        with contextlib.suppress(StoppedError):
            for start in range(0, len(given), _ROWS_PER_INSERT):
                statement = build_insert_statement(self.table, given[start : start + _ROWS_PER_INSERT])
                self.try_execute(run_statement_job, partial(self._build_source, statement))

    def read_rows(self, query: str) -> list[dict[str, Any]]:
        """Return the rows of a query, or an empty list if the history cannot be read. Raises StoppedError."""
        return self.try_execute(read_small_result, partial(self._build_source, query)) or []

    def _build_source(self, statement: str) -> JobOrQuery:
        return JobOrQuery(query=statement, database=self.database, purpose=self.description)


def build_run_columns(task: Task, *, now: float) -> dict[str, Any]:
    """Return what the operator's tables say of a task's run, by column. `now`: Unix time."""
    return {
        "time": int(now),
        "workflow": find_workflow_name(task.name),
        "session_time": task.params.get("session_time"),
        # A run without a workflow is a session of its own.
        "session_uuid": task.session_uuid or uuid.uuid4(),
        "attempt_id": task.attempt_id or None,
        "task": task.label or None,
        "version": __version__,
    }


def open_history(services: Services, table: TableName | None) -> HistoryTable | None:
    """Return the history of a task. None without a `table`, or a database: that is an error of the task's settings."""
    with contextlib.suppress(SettingsError):
        if table:
            return HistoryTable(
                task=services.task,
                connect=lambda: services.treasure_data,
                database=require_history_database(services.task, table),
                table=table.table,
                now=services.timing.now,
            )
    return None


@dataclass(kw_only=True)
class Outcome:
    """What the end of a run publishes, apart from its error. A run adds what it finds out."""

    get_subjects: Callable[[], Iterable[Subject]]  # see `ExportError.add_subjects`
    build_rows: Callable[[], Sequence[HistoryRow]]  # for the history; a row without an outcome gets the run's
    history: HistoryTable | None
    stats: Stats | None = None  # for the log and the report; None for a run with statistics of its own
    report: str | None = None  # the page's path
    write_rejected: Callable[[], object] = lambda: None


@contextlib.contextmanager
def publishing(services: Services, outcome: Outcome) -> Iterator[None]:
    """At the end of the `with` block, publish a run's outcome: log, report, history, rejected rows, in this order.

    Then raises the error that ended the block, if any, as an ExportError. A task that starts again publishes nothing.
    After a signal, there is no time left to write to tables.
    """
    failure: ExportError | None = None
    try:
        yield
    except Exception as error:
        failure = ExportError.from_exception(error)
    if failure and may_rerun_for_renewed_token(services.task, failure):
        raise failure
    if failure:
        failure.add_subjects(outcome.get_subjects())
        # Ctrl-C ends `digdag run` as well, which then prints no task's error.
        if isinstance(failure, StoppedError) and services.task.attempt_id:
            log.error("%s", failure)
    message = failure.describe(quotes=False) if failure else ""
    if outcome.stats:
        outcome.stats.failed = failure is not None
        statistics = outcome.stats.to_json()
        level, text = (logging.ERROR, "statistics of the failed run") if failure else (logging.INFO, "statistics")
        log.log(level, "%s: %s", text, json.dumps(statistics))
        if outcome.report:
            write_run_report(Path(outcome.report), statistics, error=message, now=services.timing.get_utc_time())
    if not shutdown.is_requested():
        if outcome.history:
            end = {"outcome": FAILED_OUTCOME, "error": message} if failure else {"outcome": SUCCESS_OUTCOME}
            outcome.history.write_rows([end | dict(row) for row in outcome.build_rows()])
        with contextlib.suppress(StoppedError):
            outcome.write_rejected()
    if failure:
        raise failure
