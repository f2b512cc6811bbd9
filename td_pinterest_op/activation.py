"""An activation of Audience Studio: `py>: td_pinterest_op.activation.PinterestActivation` in a .dig file.

The console hands over its settings as JSON, which are laid over the task's own, and the people as a table, which the
task's query reads by the name `activation_actions_table`. An audience that neither names is named after the segment.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from td_pinterest_op.audiences.actions import ACTIONS, EXPORT, Add, Create, Mirror, Replace, action_of
from td_pinterest_op.audiences.request import extend_task
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.export import export
from td_pinterest_op.runtime.clock import SYSTEM
from td_pinterest_op.settings.key_names import drop_console_keys
from td_pinterest_op.settings.merge import Layer
from td_pinterest_op.settings.table import IfExists
from td_pinterest_op.settings.types import is_left_out
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.process import task_process

_IDS = {"audience_id", *(each.action.audience_id for each in ACTIONS if each.action.audience_id)}
_NAME = re.compile(r"[A-Za-z0-9_]+")
# What a query calls the table of the activation.
_TABLE = re.compile(r"\bactivation_actions_table\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class _LaterRuns:
    """What is done with an audience that exists: its action by id, by name, and what create does with it."""

    by_id: str
    by_name: str
    if_exists: IfExists | None = None


LATER_RUNS = {
    "add": _LaterRuns(by_id=Add.action.name, by_name=Create.action.name, if_exists=IfExists.ADD),
    "replace": _LaterRuns(by_id=Replace.action.name, by_name=Create.action.name, if_exists=IfExists.REPLACE),
    "mirror": _LaterRuns(by_id=Mirror.action.name, by_name=Mirror.action.name),
}


class PinterestActivation:
    """Exports what an activation found, as the console's settings and the task's own say."""

    def run(self) -> None:
        """Stores the statistics under `pinterest`. Raises ExportError, whose message says who must do what."""
        with task_process():
            workflow.store(pinterest=export(extend_by_console(workflow.current_task()), SYSTEM))


def extend_by_console(task: workflow.Task) -> workflow.Task:
    """Return the task with what the activation hands over. Raises SettingsError.

    The task's parameter `later_runs` (add, replace or mirror) says what is done with an audience that exists; without
    it, the settings may name any action.
    """
    console = Layer(place="the console", given=task.params.get("result_connection_settings")).mapping()
    whole = extend_task(task, "the console", drop_console_keys(console, EXPORT), {})
    settings = whole.params["result_settings"]
    if "later_runs" in task.params or not _names(settings, "action"):
        settings |= _later_settings(task.params.get("later_runs", "add"), settings)
    action = action_of(settings)
    creates = action is not None and EXPORT.by_name["audience_name"].is_used_by(action)
    if creates and not _names(settings, "audience_name", *_IDS):
        settings["audience_name"] = _segment_of(task)
    return dataclasses.replace(whole, params={**whole.params, **_query_of(task), "result_settings": settings})


def _later_settings(later: object, settings: Mapping[object, object]) -> dict[str, str]:
    """Return the action, and what it does with an audience of that name. Raises SettingsError for a contradiction."""
    word = str(later).strip().lower()
    if word not in LATER_RUNS:
        raise SettingsError(f"later_runs must be one of {', '.join(LATER_RUNS)}", key="later_runs")
    runs = LATER_RUNS[word]
    if _names(settings, "action"):
        action = action_of(settings)
        if action and action.name not in (runs.by_id, runs.by_name):
            raise _contradiction("action", word)
        name = action.name if action else ""
    else:
        name = runs.by_id if _names(settings, *_IDS) else runs.by_name
    if _names(settings, "if_exists") and str(settings["if_exists"]).strip().lower() != runs.if_exists:
        raise _contradiction("if_exists", word)
    new = {"action": name} if name else {}
    return new | ({"if_exists": runs.if_exists.value} if name == Create.action.name and runs.if_exists else {})


def _contradiction(key: str, later: str) -> SettingsError:
    return SettingsError(
        f"{key} of the settings contradicts later_runs: {later}. Take {key} out of the console's or the task's "
        "settings, or change later_runs in the workflow",
        key=key,
    )


def _names(settings: Mapping[object, object], *names: str) -> bool:
    """Whether the settings have a value for one of these."""
    return not all(is_left_out(settings.get(name)) for name in names)


def _segment_of(task: workflow.Task) -> str:
    name = str(task.params.get("segment_name") or "").strip()
    if not name:
        raise SettingsError(
            "the audience has no name: the activation has handed over no segment_name, and its settings have neither "
            "audience_name nor audience_id"
        )
    return name


def _query_of(task: workflow.Task) -> dict[str, Any]:
    """Return the task's query, which then knows the activation's table by its name; nothing if it needs none."""
    given = task.params.get("query")
    query = "" if is_left_out(given) else workflow.read_sql(str(given), key="query")
    if not _TABLE.search(query):
        return {}
    table = _table_of(task)
    people = query.rstrip().removesuffix(";")
    text = f"WITH activation_actions_table AS (SELECT * FROM {table})\nSELECT * FROM (\n{people}\n) AS people"  # noqa: S608
    return {"query": text}


def _table_of(task: workflow.Task) -> str:
    """Return the database and the table of the activation, checked: nothing but names gets into a query."""
    table = str(task.params.get("activation_actions_table") or "")
    whole = table if "." in table else f"{task.params.get('activation_actions_db') or ''}.{table}"
    names = whole.split(".")
    if len(names) != 2 or not all(map(_NAME.fullmatch, names)):
        raise SettingsError(
            "the activation has handed over no table: the query needs activation_actions_db and "
            "activation_actions_table, and both are names",
            key="query",
        )
    return whole
