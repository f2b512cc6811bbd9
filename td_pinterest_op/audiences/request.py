"""Read the settings, rows and lists of a task, and report every problem before anything is contacted.

A task may get settings and parameters from one more place: an entry of a list, a console, a file. They are merged here.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from td_pinterest_op.errors import Problem, SettingsError, SettingsErrorCollector
from td_pinterest_op.records.hashed_query import ENGINES, require_hashable, require_one_statement
from td_pinterest_op.settings.parse import (
    ParsedSettings,
    build_settings,
    find_action,
    parse_raw_settings,
    parse_values,
)
from td_pinterest_op.settings.table import (
    CREDENTIALS,
    FOR_THIS_RUN,
    RESTRICTING,
    SETTINGS_FOR_THIS_RUN,
    TASK_PARAMETERS,
    ConnectionSettings,
    RecordSettings,
    Settings,
    SettingsTable,
)
from td_pinterest_op.settings.types import format_value, is_left_out
from td_pinterest_op.stats import LISTS
from td_pinterest_op.task_runtime.outcome import name_subjects, require_history_database
from td_pinterest_op.task_runtime.task import Task, parse_api_key, parse_endpoints, read_list_source, read_source
from td_pinterest_op.treasure_data.job import Source

log = logging.getLogger(__name__)

ROWS = frozenset({"query", "job_id"})
"""The parameters that name the rows to export. A task has one of them at most."""

# Keys that Audience Studio's console adds to the settings that it passes on: td_…, _…, type and …Type.
_ADDED_BY_CONSOLE = re.compile(r"(?:td)?_[\w.-]*|[\w.-]*type", re.ASCII | re.IGNORECASE)

_S = TypeVar("_S", bound=ConnectionSettings)


@dataclass(frozen=True, kw_only=True)
class TaskRequest(Generic[_S]):
    """What a task asks for, once its settings and parameters are checked."""

    task: Task
    settings: _S
    source: Source | None  # the query or job to export; None for an action that reads none
    lists: Mapping[str, Source]  # the queries of opt-outs and consent, by the names `suppress` and `consent`


ExportRequest = TaskRequest[Settings]


def split_parameters(whole: Mapping[object, Any], *, place: str) -> tuple[Mapping[object, object], dict[str, Any]]:
    """Split a mapping, such as an entry of `audiences`, into (settings, task parameters such as `query`).

    The settings are the content of the key `result_settings` or, without this key, all keys that are no parameters.
    `place`: where the mapping was read, for error messages. Raises SettingsError for unknown keys.
    """
    params = {name: whole[name] for name in TASK_PARAMETERS if name in whole}
    others = {key: value for key, value in whole.items() if key not in params}
    if "result_settings" not in others:
        return others, params
    settings = parse_raw_settings(others.pop("result_settings"), place=f"result_settings of {place}")
    if others:
        names = ", ".join(format_value(key).strip("'") for key in others)
        raise SettingsError(
            f"{place} has keys next to result_settings that are no parameters of an export: {names}. Move settings "
            f"into result_settings; allowed next to it: {', '.join(TASK_PARAMETERS)}",
            key="result_settings",
        )
    return settings, params


def extend_task(task: Task, place: str, settings: Mapping[object, object], params: Mapping[str, Any]) -> Task:
    """Return a copy of the task with further settings and parameters, which override the task's own.

    `place`: where they were read, for the log and errors. A blank setting overrides nothing, unless it restricts what
    is sent: then it stays, in either place, as the error that it is. Raises SettingsError for credentials: whoever
    writes a list or uses a console must not choose them.
    """
    shared = parse_raw_settings(task.params.get("result_settings"))
    new = {key: value for key, value in settings.items() if not is_left_out(value)}
    blank = [key for each in (shared, settings) for key in each if key in RESTRICTING and is_left_out(each[key])]
    if foreign := [key.name for key in CREDENTIALS if key.name in new]:
        text = f"{place} has {' and '.join(foreign)}: credentials may stand in the task only, or in its _env"
        raise SettingsError(text, key=foreign[0])
    replaced = [format_value(key).strip("'") for key in new if str(shared.get(key, new[key])) != str(new[key])]
    replaced += [name for name in params if task.params.get(name, params[name]) != params[name]]
    if replaced:
        log.info("%s overrides the task's %s", place, ", ".join(replaced))
    # Unknown keys without a value stay, too: they are errors.
    merged: dict[object, object] = {**dict.fromkeys(settings), **shared, **new, **dict.fromkeys(blank)}
    own = {name: value for name, value in task.params.items() if name not in ROWS or ROWS.isdisjoint(params)}
    return replace(task, params={**own, **params, "result_settings": merged})


def drop_console_keys(settings: Mapping[object, object], table: SettingsTable[Any]) -> dict[object, object]:
    """Return the settings from a console, without those left blank, and without unknown keys that the console adds.

    `table`: the known settings. A warning names the keys that are left out.
    """
    unknown = [name for name in settings if name not in table.by_name and isinstance(name, str)]
    added = list(filter(_ADDED_BY_CONSOLE.fullmatch, unknown))
    if added:
        text = "the settings from the console have keys that this operator does not know, which are ignored: %s"
        log.warning(text, ", ".join(added))
    return {name: value for name, value in settings.items() if name not in added and not is_left_out(value)}


def read_task_request(task: Task, *, table: SettingsTable[_S]) -> TaskRequest[_S]:
    """Return what a task asks for: its settings, the source of its rows, and its opt-out and consent lists.

    `table`: the allowed settings. Raises one SettingsError for all problems, which names the ad account and the
    audience if the settings do.
    """
    errors = SettingsErrorCollector()
    parsed = _parse_task_settings(task, table, errors)
    settings: _S | None = errors.call(build_settings, parsed)
    action = parsed.action
    if settings and settings.history:  # only for its problems: the history finds the database again
        errors.call(require_history_database, task, settings.history)
    errors.call(parse_endpoints, task.environ)
    source: Source | None = None
    reads_rows = action is None or action.reads_rows
    if reads_rows and issubclass(table.settings_class, RecordSettings):
        source = errors.call(read_source, task)
        errors.call(parse_api_key, task.environ)
    lists: dict[str, Source] = {}
    if "action" in table.by_name:
        errors.call(require_lists_in_settings, task)
        given = {name: query for name in LISTS if (query := parsed.values[name]) and (not action or action.adds_people)}
        queries = {name: errors.call(read_list_source, task, name, query) for name, query in given.items()}
        lists = {name: query for name, query in queries.items() if query}
    if source and isinstance(settings, Settings):
        errors.call(require_hashable, source, settings)
    for name, each in {"query": source, **lists}.items():
        if each and each.query and each.engine in ENGINES:  # of several, one result would count
            errors.call(require_one_statement, each.query, name=name)
    try:
        errors.raise_any()
    except SettingsError as error:
        values = parsed.values
        audience = parsed.audience_id or values.get("audience_name")
        name_subjects(error, [("ad account", values.get("ad_account_id")), ("audience", audience)])
        raise
    assert settings, "its problem was raised"  # noqa: S101
    for warning in settings.warnings:
        log.warning("%s", warning.text)
    return TaskRequest(task=task, settings=settings, source=source, lists=lists)


def require_lists_in_settings(task: Task) -> None:
    """Raise SettingsError if a task has opt-out or consent lists beside its settings, where version 0.5 read them."""
    if names := [name for name in LISTS if name in task.params]:
        text = (
            f"{' and '.join(names)} next to result_settings would withhold nobody: move the line into result_settings"
        )
        raise SettingsError(text, problems=[Problem(key=names[0], code="misplaced", text=text)])


def _parse_task_settings(task: Task, table: SettingsTable[Any], errors: SettingsErrorCollector) -> ParsedSettings:
    """Return the parsed `result_settings` of a task. Settings that are given for this run only override them.

    `table`: the allowed settings. Problems with the settings for this run are added to `errors`.
    """
    raw = task.params.get("result_settings")
    settings = parse_raw_settings(raw)
    if "activation_id" in task.params and isinstance(raw, str):  # the console's text
        settings = drop_console_keys(settings, table)
    action = find_action(settings, table=table)
    used = {}
    unused = []
    faults = []
    given: Mapping[object, object] | None = {}
    if FOR_THIS_RUN in task.params:
        given = errors.call(parse_raw_settings, task.params[FOR_THIS_RUN], place=FOR_THIS_RUN)
        if given == {}:
            faults.append("is blank")
    for name, value in (given or {}).items():
        text = format_value(name).strip("'")
        key = table.by_name.get(text)
        if name not in SETTINGS_FOR_THIS_RUN:
            faults.append(f"{text} cannot be set for one run")
        elif is_left_out(value):
            faults.append(f"{text} is blank")
        elif key and (action is None or key.is_used_by(action)):
            used[text] = value
        else:
            unused.append(text)
    if faults:
        text = (
            f"{FOR_THIS_RUN}: {'; '.join(faults)}; allowed: a mapping, or its JSON text, with "
            f"{', '.join(SETTINGS_FOR_THIS_RUN)}"
        )
        errors.append(SettingsError(text, key=FOR_THIS_RUN))
    if used:
        log.warning("set for this run, and for each retry of its attempt: %s", ", ".join(used))
    if unused:
        log.warning("%s has settings that this task does not have: %s", FOR_THIS_RUN, ", ".join(unused))
    return parse_values(settings, table=table, environ=task.environ, for_this_run=used)
