"""An activation of Audience Studio: `py>: td_pinterest_op.activation.PinterestActivation` in a .dig file.

The console passes settings as JSON, which override the task's, and the people as a table, which the task's query reads
by the name `activation_actions_table`. An audience without a name gets that of the segment.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from td_pinterest_op.audiences.actions import ACTIONS, EXPORT, Add, Create, Mirror, Replace, find_action
from td_pinterest_op.audiences.request import extend_task
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.export import export
from td_pinterest_op.runtime.clock import SYSTEM
from td_pinterest_op.settings.key_names import drop_console_keys
from td_pinterest_op.settings.merge import Layer
from td_pinterest_op.settings.table import IfExists
from td_pinterest_op.settings.types import is_left_out
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.process import TaskProcess

_IDS = {"audience_id", *(each.action.audience_id for each in ACTIONS if each.action.audience_id)}
_NAME = re.compile(r"[A-Za-z0-9_]+")
# The name of the activation's table in a query.
_TABLE = re.compile(r"\bactivation_actions_table\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class _LaterRuns:
    """The meaning of `later_runs`: the action for an audience named by id, or by name, and `if_exists`."""

    by_id: str
    by_name: str
    if_exists: IfExists | None = None


LATER_RUNS = {
    "add": _LaterRuns(by_id=Add.action.name, by_name=Create.action.name, if_exists=IfExists.ADD),
    "replace": _LaterRuns(by_id=Replace.action.name, by_name=Create.action.name, if_exists=IfExists.REPLACE),
    "mirror": _LaterRuns(by_id=Mirror.action.name, by_name=Mirror.action.name),
}


class PinterestActivation:
    """Exports the people of an activation, by the settings of the console and of the task."""

    def run(self) -> None:
        """Store the statistics under `pinterest`. Raises ExportError, whose message says what to do."""
        with TaskProcess():
            workflow.store_values(pinterest=export(extend_by_console(workflow.get_current_task()), SYSTEM))


def extend_by_console(task: workflow.Task) -> workflow.Task:
    """Return the task with the settings and the query of the activation. Raises SettingsError.

    The task's parameter `later_runs` (add, replace or mirror) is the change of an existing audience; without it, the
    settings may name any action.
    """
    console = Layer(place="the console", content=task.params.get("result_connection_settings")).mapping()
    extended = extend_task(task, "the console", drop_console_keys(console, EXPORT), {})
    settings = extended.params["result_settings"]
    if "later_runs" in task.params or not _has_any_setting(settings, "action"):
        settings |= _read_later_settings(task.params.get("later_runs", "add"), settings)
    action = find_action(settings)
    creates = action is not None and EXPORT.by_name["audience_name"].is_used_by(action)
    if creates and not _has_any_setting(settings, "audience_name", *_IDS):
        settings["audience_name"] = _read_segment_name(task)
    return dataclasses.replace(extended, params={**extended.params, **_extend_query(task), "result_settings": settings})


def _read_later_settings(later: object, settings: Mapping[object, object]) -> dict[str, str]:
    """Return the settings `action` and `if_exists` for a value of `later_runs`. Raises SettingsError."""
    word = str(later).strip().lower()
    if word not in LATER_RUNS:
        raise SettingsError(f"later_runs must be one of {', '.join(LATER_RUNS)}", key="later_runs")
    runs = LATER_RUNS[word]
    if _has_any_setting(settings, "action"):
        action = find_action(settings)
        if action and action.name not in (runs.by_id, runs.by_name):
            raise _contradiction_error("action", word)
        name = action.name if action else ""
    else:
        name = runs.by_id if _has_any_setting(settings, *_IDS) else runs.by_name
    if _has_any_setting(settings, "if_exists") and str(settings["if_exists"]).strip().lower() != runs.if_exists:
        raise _contradiction_error("if_exists", word)
    new = {"action": name} if name else {}
    return new | ({"if_exists": runs.if_exists.value} if name == Create.action.name and runs.if_exists else {})


def _contradiction_error(key: str, later: str) -> SettingsError:
    """Return the error for a setting that contradicts `later_runs`."""
    return SettingsError(
        f"{key} of the settings contradicts later_runs: {later}. Take {key} out of the console's or the task's "
        "settings, or change later_runs in the workflow",
        key=key,
    )


def _has_any_setting(settings: Mapping[object, object], *names: str) -> bool:
    """Return whether the settings have a value for one of these names."""
    return not all(is_left_out(settings.get(name)) for name in names)


def _read_segment_name(task: workflow.Task) -> str:
    name = str(task.params.get("segment_name") or "").strip()
    if not name:
        raise SettingsError(
            "the audience has no name: the activation has no segment_name, and its settings have neither audience_name "
            "nor audience_id"
        )
    return name


def _extend_query(task: workflow.Task) -> dict[str, Any]:
    """Return the parameter `query` with `activation_actions_table` defined, {} if the query does not use it."""
    value = task.params.get("query")
    query = "" if is_left_out(value) else workflow.read_sql(str(value), key="query")
    if not _TABLE.search(query):
        return {}
    table = _read_table_name(task)
    people = query.rstrip().removesuffix(";")
    text = f"WITH activation_actions_table AS (SELECT * FROM {table})\nSELECT * FROM (\n{people}\n) AS people"  # noqa: S608
    return {"query": text}


def _read_table_name(task: workflow.Task) -> str:
    """Return `database.table` of the activation. Raises SettingsError if these are not names."""
    table = str(task.params.get("activation_actions_table") or "")
    whole = table if "." in table else f"{task.params.get('activation_actions_db') or ''}.{table}"
    names = whole.split(".")
    if len(names) != 2 or not all(map(_NAME.fullmatch, names)):
        raise SettingsError(
            "the table of the activation is missing, or is not a name: set activation_actions_db and "
            "activation_actions_table to the names of the database and the table that the query reads",
            key="query",
        )
    return whole
