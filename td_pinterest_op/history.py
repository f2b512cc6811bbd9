"""Two operators that write history rows: `py>: td_pinterest_op.history.Failed` and `.Lift` in a .dig file.

The table is the setting `history`, or the task's parameter of that name, which a workflow has under `_export`.
"""

import logging
import re
from collections.abc import Mapping, Sequence

from td_pinterest_op.errors import ExportError, SettingsError
from td_pinterest_op.run_history.table import FAILED, RUN, SUCCESS, Row, build_failures_query, build_lift_row
from td_pinterest_op.runtime.clock import SYSTEM, Timing
from td_pinterest_op.settings.parse import read_parameter
from td_pinterest_op.settings.types import TABLE, is_left_out
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.history import History, open_history
from td_pinterest_op.workflow.process import TaskProcess

log = logging.getLogger(__name__)

# digdag's text before and after the message of an error that a py> task raises.
_BEFORE, _AFTER = "messages from python: ", re.compile(r" \(\w+\)\s+from Traceback")


class Failed:
    """Writes, from an `_error` task, the history row of a run that was killed or did not start."""

    def run(self) -> None:
        """Write the failed run's history row, unless the attempt already has a row of the failed task. Never fails."""
        with TaskProcess():
            write_failure(workflow.get_current_task(), SYSTEM)


class Lift:
    """Writes a row of the run history: the comparison with the control group that an earlier td> task has stored."""

    def run(self) -> None:
        """Write the preceding td> task's comparison with the control group to the run history. Raises SettingsError."""
        with TaskProcess():
            write_lift(workflow.get_current_task(), SYSTEM)


def write_failure(task: workflow.Task, timing: Timing) -> None:
    """Write the history row of a failed task, whose `_error` task is `task`. If that fails, only log a warning."""
    name = str(task.params.get("task_name") or "")
    # Outside `_error`, the failed task is the whole workflow.
    failed = name.partition("^error")[0] if "^error" in name else f"+{workflow.find_workflow_name(name) or ''}"
    write_missing_rows(task, timing, [{"task": failed, "error": _read_failure_message(task)}])


def write_missing_rows(task: workflow.Task, timing: Timing, rows: Sequence[Row], *, or_success: bool = False) -> None:
    """Write a history row for each failed run, unless this attempt has written a row of the failure already.

    `rows`: known columns of each run; the column `task` is the task's full name, or its beginning. `or_success`:
    write no row either if the session has a row of the task's success. A failure to write only logs a warning.
    """
    try:
        history = _open_history(task, timing)
    except ExportError as problem:
        log.warning("the failed run could not be recorded in the history: %s", problem)
        return
    if history:
        ids = {column: str(history.task_columns[column] or "") for column in ("session_uuid", "attempt_id")}
        unless = build_failures_query(history.table, **ids, or_success=or_success)
        history.write_rows([{"kind": RUN, "outcome": FAILED, **row} for row in rows], unless=unless)


def write_lift(task: workflow.Task, timing: Timing) -> None:
    """Write the last td> task's result, a comparison with the control group, to the history. Raises SettingsError."""
    figures = task.td.get("last_results")
    if not isinstance(figures, Mapping) or not figures:
        raise SettingsError(
            "td.last_results is empty, so there is no comparison with the control group to record: run "
            "queries/lift.sql in a td> task with store_last_results: true before this task"
        )
    log.info("%s", figures.get("summary"))
    if history := _open_history(task, timing):
        ids = {name: task.params.get(name) for name in ("ad_account_id", "audience_id")}
        history.write_rows([{"outcome": SUCCESS, **ids, **build_lift_row(figures)}])


def _open_history(task: workflow.Task, timing: Timing) -> History | None:
    """Return the history in the table named by the setting `history`, else by the parameter `history`, else None."""
    settings = task.params.get("result_settings")
    value = settings.get("history") if isinstance(settings, Mapping) else None
    value = task.params.get("history") if is_left_out(value) else value
    return open_history(task, read_parameter("history", value, TABLE), timing)


def _read_failure_message(task: workflow.Task) -> str:
    """Return the message of the operator's error in the task's `error`, or else the first line of digdag's message."""
    error = task.params.get("error")
    text = str(error.get("message") or "") if isinstance(error, Mapping) else ""
    raised = text.partition(_BEFORE)[2]
    after = _AFTER.search(raised)
    return raised[: after.start()] if after else (text.strip().splitlines() or [""])[0]
