"""The comparison with a control group: `py>: td_pinterest_op.lift.PinterestLift` in a .dig file.

A workflow has its settings in `_export` as `lift`, since the queries before this task use them too.
"""

import logging
from collections.abc import Mapping
from typing import Any

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.http.retry import RetrySchedule
from td_pinterest_op.http.transport import Transport
from td_pinterest_op.run_history.history_table import (
    SUCCESS_OUTCOME,
    build_control_run_count_query,
    build_lift_row,
)
from td_pinterest_op.run_history.lift import COUNT_NAMES, NO_CONTROL_GROUP_SUMMARY, compare_with_control_group
from td_pinterest_op.runtime.clock import SYSTEM_TIMING, Timing
from td_pinterest_op.settings.parse import parse_parameter
from td_pinterest_op.settings.structures import CONTROL_TYPE
from td_pinterest_op.settings.types import TABLE_TYPE, WrongValueError
from td_pinterest_op.task_runtime.outcome import HistoryTable
from td_pinterest_op.task_runtime.process import GuardedTaskRun
from td_pinterest_op.task_runtime.services import build_treasure_data_api
from td_pinterest_op.task_runtime.task import Task, get_current_task, require_history_database, store_workflow_values
from td_pinterest_op.treasure_data.tables import TABLE_TIME_LIMIT

log = logging.getLogger(__name__)


class PinterestLift:
    """The operator that compares the conversions of the people who were sent with those of the control group."""

    def run(self) -> None:
        """Store the comparison as the parameter `pinterest_lift`, and write it to the history."""
        with GuardedTaskRun():
            store_workflow_values(pinterest_lift=compare_and_record_lift(get_current_task(), SYSTEM_TIMING))


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
    lift = _get_lift_settings(task)
    figures = compare_with_control_group(counts, control_share=parse_control_share(lift))
    if history := _open_history(task, lift, timing):
        ids = {name: lift.get(name) for name in ("ad_account_id", "audience_id")}
        known = history.read_rows(build_control_run_count_query(history.table, audience_id=str(ids["audience_id"])))
        if known and not known[0]["runs"]:
            figures["summary"] = NO_CONTROL_GROUP_SUMMARY
        history.write_rows([{"outcome": SUCCESS_OUTCOME, **ids, **build_lift_row(figures)}])
    log.info("%s", figures["summary"])
    return figures


def _get_lift_settings(task: Task) -> Mapping[Any, Any]:
    lift = task.params.get("lift")
    if not isinstance(lift, Mapping):
        raise SettingsError("there is no mapping `lift`: include config/lift.yml under this name, in `_export`")
    return lift


def parse_control_share(lift: Mapping[Any, Any]) -> float:
    """Return the control group's share, from 0 to 1, as `percent` says. Raises SettingsError."""
    try:
        control = CONTROL_TYPE.parse({"percent": lift.get("percent"), "salt": "any"})
    except WrongValueError as error:
        raise SettingsError(
            f"lift.percent must be the percent of the control group (config/lift.yml): {error}", key="percent"
        ) from None
    return float(control.share_in_ten_thousandths / 10_000)


def _open_history(task: Task, lift: Mapping[Any, Any], timing: Timing) -> HistoryTable | None:
    """Return the run history that the settings name as `history`, or None."""
    table = parse_parameter("history", lift.get("history"), TABLE_TYPE)
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
