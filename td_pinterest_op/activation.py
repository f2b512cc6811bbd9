"""An activation of Audience Studio: `py>: td_pinterest_op.activation.PinterestActivation` in a .dig file.

The console passes the people as a table, which the task's query reads by the name `activation_actions_table`, and
settings as JSON, which count where the task has none. An audience without a name gets that of the segment.
"""

import dataclasses
import logging
import re
from collections.abc import Mapping

from td_pinterest_op.audiences.actions import ACTIONS, EXPORT_SETTINGS, Add, Create, Mirror, Replace, find_action_spec
from td_pinterest_op.audiences.request import get_raw_settings, naming_subjects
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.exporting.export_run import export_task
from td_pinterest_op.runtime.clock import SYSTEM_TIMING
from td_pinterest_op.settings.parse import parse_raw_settings
from td_pinterest_op.settings.table import CONSOLE_SETTING_NAMES
from td_pinterest_op.settings.types import is_left_out
from td_pinterest_op.task_runtime.process import GuardedTaskRun
from td_pinterest_op.task_runtime.task import Task, get_current_task, read_sql_or_file, store_workflow_values
from td_pinterest_op.treasure_data.job import find_first_comments
from td_pinterest_op.treasure_data.user_sql import require_one_statement

log = logging.getLogger(__name__)

_AUDIENCE_ID_SETTINGS = {"audience_id", *(each.action.audience_id for each in ACTIONS if each.action.audience_id)}
# Settings that choose the same thing.
_ALTERNATIVE_SETTINGS = ({*_AUDIENCE_ID_SETTINGS, "audience_name"}, {"ignore_invalid_records", "ignore_error"})
# Keys that the console adds to the settings: td_…, _…, type and …Type.
_CONSOLE_ADDED_KEY_PATTERN = re.compile(r"(?:td)?_[\w.-]*|[\w.-]*type", re.ASCII | re.IGNORECASE)
_ACTIVATION_TABLE_PATTERN = re.compile(r"\bactivation_actions_table\b", re.IGNORECASE)  # in a query
_TABLE_NAME_PATTERN = re.compile(r"[A-Za-z0-9_]+\.[A-Za-z0-9_]+")

# The values of the parameter `later_runs`: the action for an audience that the settings name by id, and by name.
ACTION_PAIRS_BY_LATER_RUNS_VALUE = {
    "add": (Add.action, Create.action),
    "replace": (Replace.action, Create.action),
    "mirror": (Mirror.action, Mirror.action),
}


class PinterestActivation:
    """The operator that exports the people of an Audience Studio activation to a Pinterest audience."""

    def run(self) -> None:
        """Export the people of the current task, and store the statistics as the parameter `pinterest`."""
        with GuardedTaskRun():
            store_workflow_values(
                pinterest=export_task(build_activation_export_task(get_current_task()), SYSTEM_TIMING)
            )


def build_activation_export_task(task: Task) -> Task:
    """Return an activation's `task` with the console's settings, and `activation_actions_table` defined in its query.

    The parameter `later_runs` (add, replace or mirror) says how to change an existing audience. Without it, the
    settings may name any action. Raises SettingsError for settings and parameters that are missing or contradict each
    other.
    """
    own = get_raw_settings(task)
    console = parse_raw_settings(task.params.get("result_connection_settings"), place="the console")
    with naming_subjects({**console, **own}, table=EXPORT_SETTINGS):
        return _build_export_task(task, own, console)


def _build_export_task(task: Task, own: Mapping[object, object], console: Mapping[object, object]) -> Task:
    settings = {**own, **_choose_console_settings(console, own)}
    settings.update(_build_settings_from_later_runs(task, settings))
    action = find_action_spec(settings)
    names_audience = action is not None and EXPORT_SETTINGS.by_name["audience_name"].is_used_by(action)
    if names_audience and not _has_any_value(settings, "audience_name", *_AUDIENCE_ID_SETTINGS):
        settings["audience_name"] = str(task.params.get("segment_name") or "").strip()
        if not settings["audience_name"]:
            raise SettingsError(
                "the audience has no name: the activation has no segment_name, and its settings have neither "
                "audience_name nor audience_id"
            )
    params = {**task.params, "result_settings": settings}
    query = task.params.get("query")
    if not is_left_out(query):
        sql = read_sql_or_file(str(query), key="query")
        if _ACTIVATION_TABLE_PATTERN.search(sql):
            table = str(task.params.get("activation_actions_table") or "")
            whole = table if "." in table else f"{task.params.get('activation_actions_db') or ''}.{table}"
            if not _TABLE_NAME_PATTERN.fullmatch(whole):
                raise SettingsError(
                    "the activation's table is missing, or is not a valid table name: set activation_actions_db and "
                    "activation_actions_table to the names of the database and the table that the query reads",
                    key="query",
                )
            definition = f"activation_actions_table AS (SELECT * FROM {whole})"  # noqa: S608 - a name
            # Comments that set options of the engine count only in front of the whole.
            first = find_first_comments(sql)
            params["query"] = f"{first}WITH {definition}\nSELECT * FROM (\n{require_one_statement(sql)}\n) AS people"
    return dataclasses.replace(task, params=params)


def _choose_console_settings(console: Mapping[object, object], own: Mapping[object, object]) -> dict[object, object]:
    """Return the console's settings, except what the task's `own` settings choose. Warns of ignored ones."""
    given = {name: value for name, value in console.items() if not is_left_out(value)}
    added = [
        str(name)
        for name in given
        if name not in EXPORT_SETTINGS.by_name and _CONSOLE_ADDED_KEY_PATTERN.fullmatch(str(name))
    ]
    if added:
        log.warning("the console has keys that this operator does not know, which are ignored: %s", ", ".join(added))
    if foreign := [
        name
        for name in EXPORT_SETTINGS.by_name
        if name in given and name not in {*CONSOLE_SETTING_NAMES, *_AUDIENCE_ID_SETTINGS}
    ]:
        raise SettingsError(
            f"the console has {', '.join(foreign)}, which only the workflow's author may choose: remove it there, and "
            "write it into the workflow's task if it is wanted",
            key=foreign[0],
        )
    if _has_any_value(own, "action") and "action" in given and find_action_spec(own) is not find_action_spec(given):
        raise SettingsError("the action in the console contradicts that of the task: remove one of them", key="action")
    chosen = {}
    kept = []
    for name, value in given.items():
        same: set[object] = next(({*names} for names in _ALTERNATIVE_SETTINGS if name in names), {name})
        values = [str(own[each]).strip() for each in same if not is_left_out(own.get(each))]
        if values and str(value).strip() not in values:
            kept.append(name)
        elif not values and name not in added:
            chosen[name] = value
    if kept:
        log.warning("the task chooses these itself, so the console's are ignored: %s", ", ".join(map(str, kept)))
    return chosen


def _build_settings_from_later_runs(task: Task, settings: Mapping[object, object]) -> dict[str, str]:
    """Return the settings `action` and, if an audience may be created, `if_exists`, as `later_runs` says.

    Returns {} if the task has no `later_runs`, and `settings` say all of this.
    """
    later_runs = str(task.params.get("later_runs", "add")).strip().lower()
    if later_runs not in ACTION_PAIRS_BY_LATER_RUNS_VALUE:
        raise SettingsError(
            f"later_runs must be one of {', '.join(ACTION_PAIRS_BY_LATER_RUNS_VALUE)}", key="later_runs"
        )
    by_id, by_name = ACTION_PAIRS_BY_LATER_RUNS_VALUE[later_runs]
    contradicting = []
    if _has_any_value(settings, "action"):
        action = find_action_spec(settings)
        says_all = action is not Create.action or _has_any_value(settings, "if_exists")
        if action is None or (says_all and "later_runs" not in task.params):
            return {}  # an unknown action is reported with the other problems of the settings
        if action not in (by_id, by_name):
            contradicting.append("action")
    else:
        action = by_id if _has_any_value(settings, *_AUDIENCE_ID_SETTINGS) else by_name
    if _has_any_value(settings, "if_exists") and str(settings["if_exists"]).strip().lower() != later_runs:
        contradicting.append("if_exists")
    if contradicting:
        names = " and ".join(contradicting)
        raise SettingsError(
            f"later_runs: {later_runs} contradicts {names} in the settings. Remove {names} from the settings in the "
            "console or the task, or change later_runs in the workflow",
            key=contradicting[0],
        )
    return {"action": action.name, **({"if_exists": later_runs} if action is Create.action else {})}


def _has_any_value(settings: Mapping[object, object], *names: str) -> bool:
    return not all(is_left_out(settings.get(name)) for name in names)
