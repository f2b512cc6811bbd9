"""Two operators that write history rows: `py>: td_pinterest_op.history.Failed` and `.Lift` in a .dig file.

A workflow has its settings, which name the table, under `_export` as `settings`.
"""

import contextlib
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from td_pinterest_op.activation import build_activation_export_task
from td_pinterest_op.errors import ExportError, SettingsError
from td_pinterest_op.http.retry import RetrySchedule
from td_pinterest_op.http.transport import Transport
from td_pinterest_op.many import parse_entries
from td_pinterest_op.redaction.secret import defuse_templates
from td_pinterest_op.run_history.history_table import (
    FAILED_OUTCOME,
    LIFT_ROW,
    RUN_ROW,
    STATUS_CHECK_ROW,
    SUCCESS_OUTCOME,
    HistoryRow,
    build_attempt_outcomes_query,
    build_control_run_count_query,
    build_lift_row,
)
from td_pinterest_op.run_history.lift import COUNT_NAMES, NO_CONTROL_GROUP_SUMMARY, compare_with_control_group
from td_pinterest_op.runtime.clock import SYSTEM_TIMING, Timing
from td_pinterest_op.settings.parse import parse_parameter
from td_pinterest_op.settings.structures import CONTROL_TYPE
from td_pinterest_op.settings.types import TABLE_TYPE, WrongValueError
from td_pinterest_op.task_runtime.outcome import HistoryTable, require_history_database
from td_pinterest_op.task_runtime.process import GuardedTaskRun
from td_pinterest_op.task_runtime.services import build_treasure_data_api
from td_pinterest_op.task_runtime.task import Task, find_workflow_name, get_current_task, store_workflow_values
from td_pinterest_op.treasure_data.tables import TABLE_TIME_LIMIT

log = logging.getLogger(__name__)


class Failed:
    """The operator that an `_error` task calls to write the history rows of runs that were killed or did not start."""

    def run(self) -> None:
        """Write a history row for each run of this digdag attempt that failed without one."""
        with GuardedTaskRun():
            record_missing_failures(get_current_task(), SYSTEM_TIMING)


class Lift:
    """The operator that compares the conversions of the people who were sent with those of the control group."""

    def run(self) -> None:
        """Store the comparison as the parameter `pinterest_lift`, and write it to the history."""
        with GuardedTaskRun():
            store_workflow_values(pinterest_lift=compare_and_record_lift(get_current_task(), SYSTEM_TIMING))


def record_missing_failures(task: Task, timing: Timing) -> None:
    """Write the history row of the failed task whose `_error` task is `task`, unless this digdag attempt has one.

    For a list `audiences`, writes a row for each entry without one. A failure to write is only logged.
    `error.paragraph` is the operator's own message (see config/failed.yml).
    """
    # Outside `_error`, the failed task is the whole workflow.
    name, separator, _ = task.name.partition("^error")
    failed = name if separator else f"+{find_workflow_name(name) or ''}"
    is_within = re.compile(rf"{re.escape(failed)}([+^ ]|$)")
    entries: Mapping[str, Mapping[Any, Any]] = {}
    settings = _get_workflow_settings(task)
    whole = replace(task, params={**task.params, **settings})
    with contextlib.suppress(SettingsError):
        entries = parse_entries(whole)
    if "activation_id" in task.params:
        with contextlib.suppress(SettingsError):
            settings = {**settings, **build_activation_export_task(whole).params["result_settings"]}
    try:
        history = _open_history_of_workflow(task, timing)
        if history:
            query = build_attempt_outcomes_query(
                history.table, session_uuid=task.session_uuid, attempt_id=task.attempt_id
            )
            written = [row for row in history.read_rows(query) if is_within.match(row["task"] or "")]
            outcomes = {row["task"]: row["outcome"] for row in written}
            # A task's name has no blank: what follows one is the name of an entry.
            done = {label.partition(" ")[2] for label in outcomes}
            rows: list[HistoryRow] = [
                {"task": f"{failed} {name}", **_extract_subject_columns({**settings, **entry})}
                for name, entry in entries.items()
                if defuse_templates(name) not in done  # as it is in the table
            ]
            if not rows and FAILED_OUTCOME not in outcomes.values():
                rows = [{"task": failed, **_extract_subject_columns(settings)}]
            # Of another task's message no word is kept: it may quote a person.
            error = task.params.get("error")
            paragraph = error.get("paragraph") if isinstance(error, Mapping) else None
            message = str(paragraph or "see the log")
            about_run = {"kind": _find_failure_row_kind(task, settings), "outcome": FAILED_OUTCOME, "error": message}
            history.write_rows([{**about_run, **row} for row in rows])
    except ExportError as problem:
        log.warning("the failed run could not be recorded in the history: %s", problem)


def compare_and_record_lift(task: Task, timing: Timing) -> dict[str, Any]:
    """Compare the conversions that the last td> task counted, write the comparison to the history, and return it.

    It has the counts, rates and lift as JSON types, and a `summary`. Raises SettingsError if the counts, or the control
    group's percent, are missing.
    """
    try:
        counted = task.td["last_results"]
        counts = {name: int(counted[name] or 0) for name in COUNT_NAMES}
    except (KeyError, TypeError, ValueError):
        raise SettingsError(
            "td.last_results has no counts, so there is no comparison with the control group to record: run "
            "queries/lift.sql in a td> task with store_last_results: true before this task"
        ) from None
    figures = compare_with_control_group(counts, control_share=parse_control_share(task))
    if history := _open_history_of_workflow(task, timing):
        ids = {name: task.params.get(name) for name in ("ad_account_id", "audience_id")}
        known = history.read_rows(build_control_run_count_query(history.table, audience_id=str(ids["audience_id"])))
        if known and not known[0]["runs"]:
            figures["summary"] = NO_CONTROL_GROUP_SUMMARY
        history.write_rows([{"outcome": SUCCESS_OUTCOME, **ids, **build_lift_row(figures)}])
    log.info("%s", figures["summary"])
    return figures


def parse_control_share(task: Task) -> float:
    """Return the control group's share, from 0 to 1, as `lift.percent` says. Raises SettingsError."""
    lift = task.params.get("lift")
    if not isinstance(lift, Mapping):
        raise SettingsError("there is no mapping `lift`: include config/lift.yml under this name, in `_export`")
    try:
        control = CONTROL_TYPE.parse({"percent": lift.get("percent"), "salt": "any"})
    except WrongValueError as error:
        raise SettingsError(
            f"lift.percent must be the percent of the control group (config/lift.yml): {error}", key="percent"
        ) from None
    return float(control.share_in_ten_thousandths / 10_000)


def _open_history_of_workflow(task: Task, timing: Timing) -> HistoryTable | None:
    """Return the run history that the workflow's settings name as `history`, or None."""
    table = parse_parameter("history", _get_workflow_settings(task).get("history"), TABLE_TYPE)
    if table is None:
        return None
    transport = Transport(
        connect_timeout=TABLE_TIME_LIMIT, write_timeout=TABLE_TIME_LIMIT, read_timeout=TABLE_TIME_LIMIT, connections=1
    )
    retry = RetrySchedule(count=0, initial_wait=1.0, longest_wait=TABLE_TIME_LIMIT)
    return HistoryTable(
        task=task,
        connect=lambda: build_treasure_data_api(task, transport=transport, retry=retry, timing=timing),
        database=require_history_database(task, table),
        table=table.table,
        now=timing.now,
    )


def _get_workflow_settings(task: Task) -> Mapping[Any, Any]:
    settings = task.params.get("settings")
    if not isinstance(settings, Mapping):
        return {}
    inner = settings.get("result_settings")
    return {**settings, **inner} if isinstance(inner, Mapping) else settings


def _find_failure_row_kind(task: Task, settings: Mapping[Any, Any]) -> str:
    """Return the kind of row for a workflow's failure. A status check and a lift have changed no audience."""
    # An export needs `audience_type`, and an erasure names no audience.
    if "audience_type" in settings or settings.keys().isdisjoint(("audience_id", "audience_ids")):
        return RUN_ROW
    return LIFT_ROW if "lift" in task.params else STATUS_CHECK_ROW


def _extract_subject_columns(settings: Mapping[Any, Any]) -> HistoryRow:
    """Return the action, ad account and audience in `settings` as fields of a history row. A missing one is None."""
    row = {name: settings.get(name) for name in ("action", "ad_account_id", "audience_name")}
    ids = {str(settings[name] or "").strip() for name in settings if re.match("audience_id(_|$)", str(name))} - {""}
    return {**row, "audience_id": ids.pop() if len(ids) == 1 else None}
