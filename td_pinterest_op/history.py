"""Rows of the history that no other operator writes: `py>: td_pinterest_op.history.Failed` and `.Lift` in a .dig file.

The table is the task's parameter `history`, which a workflow has under `_export`, or that of its `result_settings`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from td_pinterest_op.errors import ExportError, SettingsError
from td_pinterest_op.run_history.columns import FAILED, RUN, SUCCESS, Row, lift_row
from td_pinterest_op.run_history.sql import select_failures
from td_pinterest_op.runtime.clock import SYSTEM, Timing
from td_pinterest_op.settings.types import TABLE, WrongValueError, is_left_out, show_value
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.history import History, open_history, workflow_name
from td_pinterest_op.workflow.process import task_process

log = logging.getLogger(__name__)

# What digdag puts around the text of an error that a py> task raises.
_BEFORE, _AFTER = "messages from python: ", re.compile(r" \(\w+\)\s+from Traceback")


class Failed:
    """For `_error`: writes the row of a run that could not write its own, because it was killed or never began."""

    def run(self) -> None:
        """Write nothing if the attempt has the row of a failure below the task whose `_error` this is. Never fails."""
        with task_process():
            write_failure(workflow.current_task(), SYSTEM)


class Lift:
    """Writes the row of a comparison: the result of the last td> task, kept by its `store_last_results`."""

    def run(self) -> None:
        """The task's parameters are `ad_account_id` and `audience_id`. Raises SettingsError without a result."""
        with task_process():
            write_lift(workflow.current_task(), SYSTEM)


def write_failure(task: workflow.Task, timing: Timing) -> None:
    """Write the row of the failed run whose `_error` this task is below; what goes wrong is a warning."""
    write_missing(task, timing, name=_failed_task(task), row={"error": _message(task)})


def write_missing(task: workflow.Task, timing: Timing, *, name: str, row: Row) -> None:
    """Write the row of a failed run, unless its attempt has one of the task `name` or of a task below it.

    `row` is what is known of the run. What goes wrong is a warning.
    """
    try:
        history = _open(task, timing)
    except ExportError as problem:
        log.warning("a failed run has no row in the history: %s", problem)
        return
    if history is None:
        return
    about = history.task_columns
    ids = {column: str(about[column] or "") for column in ("session_uuid", "attempt_id")}
    unless = select_failures(history.table, task=name, **ids)
    history.write([{"kind": RUN, "outcome": FAILED, "task": name, **row}], unless=unless)


def write_lift(task: workflow.Task, timing: Timing) -> None:
    """Write the row of a comparison. Raises SettingsError without a result, or if the table's name is wrong."""
    figures = task.td.get("last_results")
    if not isinstance(figures, Mapping) or not figures:
        raise SettingsError("there is no comparison: put the td> task with store_last_results before this one")
    log.info("%s", figures.get("summary"))
    if history := _open(task, timing):
        ids = {name: task.params.get(name) for name in ("ad_account_id", "audience_id")}
        history.write([{"outcome": SUCCESS, **ids, **lift_row(figures)}])


def _open(task: workflow.Task, timing: Timing) -> History | None:
    """Return the history that the task names, None without one. Raises SettingsError."""
    settings = task.params.get("result_settings")
    given = settings.get("history") if isinstance(settings, Mapping) else None
    given = task.params.get("history") if is_left_out(given) else given
    if is_left_out(given):
        return None
    try:
        return open_history(task, TABLE.read(given, show_value), timing)
    except WrongValueError as problem:
        raise SettingsError(f"history: {problem}; allowed: {TABLE.allowed}", key="history") from None


def _failed_task(task: workflow.Task) -> str:
    """Return the name of the task that has this one below its `_error`; outside of one, that of the workflow."""
    name = str(task.params.get("task_name") or "")
    return name.partition("^error")[0] if "^error" in name else f"+{workflow_name(name) or ''}"


def _message(task: workflow.Task) -> str:
    """Return what failed as one paragraph: the text that the operator raised, else the first line."""
    error = task.params.get("error")
    text = str(error.get("message") or "") if isinstance(error, Mapping) else ""
    raised = text.partition(_BEFORE)[2]
    after = _AFTER.search(raised)
    return raised[: after.start()] if after else (text.strip().splitlines() or [""])[0]
