"""The history of a task: rows about its runs in a table of the user's warehouse.

A history that cannot be read or written causes one warning. It never fails a run, nor delays it for long.
"""

import contextlib
import logging
import random
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from td_pinterest_op import __version__
from td_pinterest_op.errors import StoppedError
from td_pinterest_op.http.retry import Retry
from td_pinterest_op.http.transport import Transport
from td_pinterest_op.run_history.columns import FAILED, SUCCESS, Row
from td_pinterest_op.run_history.table import HistoryTable
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import Timing, format_duration
from td_pinterest_op.runtime.threads import call_within
from td_pinterest_op.runtime.unexpected import to_export_error
from td_pinterest_op.settings.types import TableName
from td_pinterest_op.treasure_data.api import RUN_AGAIN, TreasureData
from td_pinterest_op.workflow.resubmit import may_resubmit
from td_pinterest_op.workflow.services import read_endpoints
from td_pinterest_op.workflow.task import Task, read_database

log = logging.getLogger(__name__)

_T = TypeVar("_T")

TIME_LIMIT = 30.0
"""Seconds by which reading or writing a history may delay its task."""
_CONNECT_TIMEOUT = 10.0


@dataclass(slots=True, kw_only=True)
class History:
    """The history of one task. After the first failure it does nothing more."""

    task: Task
    database: str
    table: str
    timing: Timing
    _session_uuid: str = field(init=False)
    _given_up: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        # A run without a workflow is a session of its own.
        self._session_uuid = str(self.task.params.get("session_uuid") or uuid.uuid4())

    @property
    def label(self) -> str:
        """The history table as messages name it."""
        return f"{self.database}.{self.table}"

    @property
    def task_columns(self) -> dict[str, Any]:
        """The values of the columns that are the same in all rows of the task."""
        params, name = self.task.params, str(self.task.params.get("task_name") or "")
        attempt = params.get("attempt_id")
        return {
            "time": int(self.timing.wall()),
            "workflow": workflow_name(name),
            "session_time": params.get("session_time"),
            "session_uuid": self._session_uuid,
            "attempt_id": None if attempt is None else str(attempt),
            "task": name or None,
            "version": __version__,
        }

    def write(self, rows: Sequence[Row], *, unless: str = "") -> None:
        """Add rows, completed with the columns of the task. Never raises. `unless`: see `HistoryTable.insert`."""
        rows = [
            {**self.task_columns, **{name: value for name, value in row.items() if value is not None}} for row in rows
        ]
        # The run is over: a signal interrupts the history, and nothing else.
        with contextlib.suppress(StoppedError):
            self._try_with_table(
                lambda table: table.insert(rows, unless=unless), failure="this run has no row in the history"
            )

    def read(self, query: str) -> list[dict[str, Any]] | None:
        """Return the rows of a query; None if the history cannot be read. Raises StoppedError."""
        return self._try_with_table(lambda table: table.read(query), failure="nothing is known from the history")

    def _try_with_table(self, function: Callable[[HistoryTable], _T], *, failure: str) -> _T | None:
        """Return `function(table)`. If it fails, log a warning that begins with `failure`, and return None."""
        if self._given_up.is_set():
            return None
        try:
            return call_within(TIME_LIMIT, lambda: self._call_with_table(function))
        except StoppedError:
            self._given_up.set()
            raise
        except TimeoutError:
            problem = f"Treasure Data took longer than {format_duration(TIME_LIMIT)}"
        except Exception as error:
            problem = error_text(error).removesuffix(RUN_AGAIN)
        self._given_up.set()
        log.warning("%s %s: %s. The run continues without its history", failure, self.label, problem)
        return None

    def _call_with_table(self, function: Callable[[HistoryTable], _T]) -> _T:
        """Return `function(table)`, with a connection of its own to Treasure Data."""
        # Its own connection, which does not retry: the table retries, without warnings.
        limits = {"connect_timeout": _CONNECT_TIMEOUT, "write_timeout": TIME_LIMIT, "read_timeout": TIME_LIMIT}
        with contextlib.closing(Transport(**limits, connections=1)) as transport:
            td = TreasureData(
                api_key=self.task.td_api_key,
                endpoint=read_endpoints(self.task.environ).treasure_data,
                transport=transport,
                retry=Retry(count=0, initial_wait=1.0, longest_wait=TIME_LIMIT, random=random.random),
                timing=replace(self.timing, sleep=self._sleep_unless_given_up),
            )
            return function(HistoryTable(td=td, database=self.database, name=self.table))

    def _sleep_unless_given_up(self, seconds: float) -> None:
        """Sleep between retries. Raises TimeoutError once the history was given up."""
        if self._given_up.is_set():
            raise TimeoutError
        self.timing.sleep(seconds)


def open_history(task: Task, table: TableName | None, timing: Timing) -> History | None:
    """Return the history of a task, None without a table. Raises SettingsError if no database is known."""
    if table is None:
        return None
    return History(task=task, database=read_history_database(task, table), table=table.table, timing=timing)


def read_history_database(task: Task, table: TableName) -> str:
    """Return the database of a history table. Raises SettingsError if none is known."""
    return table.database or read_database(task, use=f"the history {table.table}")


@contextlib.contextmanager
def record_run(history: History | None, rows: Callable[[str], Sequence[Row]]) -> Iterator[None]:
    """At the end of the block, write the rows of the run. `rows` gets the error's text, "" for success.

    A row without an outcome gets that of the run. No row is written for a run that a signal ended, since there is no
    time for it, nor for a task that is resubmitted.
    """
    error: BaseException | None = None
    try:
        yield
    except BaseException as failure:
        error = failure
        raise
    finally:
        if history and _needs_row(history.task, error):
            text = error_text(error)
            outcome = {"outcome": FAILED, "error": text} if error else {"outcome": SUCCESS}
            history.write([{**outcome, **row} for row in rows(text)])


def _needs_row(task: Task, error: BaseException | None) -> bool:
    """Whether a run with this error gets a row: not if a signal ended it, or if it is resubmitted."""
    if error is None:
        return True
    return isinstance(error, Exception) and not shutdown.is_requested() and not may_resubmit(task, error)


def error_text(error: BaseException | None) -> str:
    """Return an error's text as `to_export_error` has it, "" for None."""
    if isinstance(error, Exception):
        return str(to_export_error(error))
    return type(error).__name__ if error else ""


def workflow_name(task_name: str) -> str | None:
    """Return the workflow's name, which is the first part of a task's name; None if there is no such part."""
    parts = re.split(r"[+^]", task_name)
    return parts[1] if len(parts) > 1 else None
