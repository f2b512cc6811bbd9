"""Read the settings, rows and lists of a task, and report every problem before anything is contacted.

A task may get settings and parameters from one more place: an entry of a list, a console, a file. They are merged here.
"""

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from td_pinterest_op.errors import SettingsError, SettingsErrorCollector
from td_pinterest_op.records.hashed_query import ENGINES, find_hashing_reason, require_hashable, require_one_statement
from td_pinterest_op.settings.parse import (
    TASK_PARAMETERS,
    build_settings,
    drop_console_keys,
    find_misspelt_parameters,
    parse_values,
)
from td_pinterest_op.settings.structures import read_mapping
from td_pinterest_op.settings.table import ActionSpec, SendingSettings, Settings, SettingsTable
from td_pinterest_op.settings.types import WrongValueError, is_left_out, show_value
from td_pinterest_op.stats import LISTS
from td_pinterest_op.treasure_data.job import Source
from td_pinterest_op.treasure_data.result import Rows
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.task_history import read_history_database

log = logging.getLogger(__name__)

_ROWS = frozenset({"query", "job_id"})  # a task has one of these at most

_S = TypeVar("_S", bound=SendingSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest(Generic[_S]):
    """What a task asks for: checked settings, the source of its rows (or None), opt-out and consent lists by name."""

    task: workflow.Task
    settings: _S
    source: Source | Rows | None
    lists: Mapping[str, Source]


ExportRequest = TaskRequest[Settings]


def read_settings(value: object, *, place: str) -> Mapping[object, object]:
    """Return settings as a mapping, {} if `value` is blank. Raises SettingsError, with `place`, if `value` is invalid.

    `value`: a mapping, or its JSON or YAML text.
    """
    try:
        return {} if is_left_out(value) else read_mapping(value)
    except WrongValueError as error:
        text = f"{place}: {error}; allowed: a mapping, or a mapping as a JSON or YAML string"
        raise SettingsError(text, key="result_settings") from None


def split_parameters(whole: Mapping[object, Any], *, place: str) -> tuple[Mapping[object, object], dict[str, Any]]:
    """Split a mapping into settings and task parameters, such as `query`. Raises SettingsError.

    The settings are the content of the key `result_settings` or, without this key, all keys that are no parameters.
    `place`: where the mapping was read, for error messages.
    """
    params = {name: whole[name] for name in TASK_PARAMETERS if name in whole}
    others = {key: value for key, value in whole.items() if key not in params}
    if "result_settings" not in others:
        return others, params
    settings = read_settings(others.pop("result_settings"), place=f"result_settings of {place}")
    if others:
        near = find_misspelt_parameters(others)
        texts = [show_value(key).strip("'") for key in others]
        names = [text + (f" (did you mean {near[text]}?)" if text in near else "") for text in texts]
        raise SettingsError(
            f"{place} has parameters next to result_settings that an export does not accept: {', '.join(names)}. "
            f"Allowed there: {', '.join(TASK_PARAMETERS)}",
            key="result_settings",
        )
    return settings, params


def extend_task(
    task: workflow.Task, place: str, settings: Mapping[object, object], params: Mapping[str, Any]
) -> workflow.Task:
    """Return the task with further settings and parameters, which override its own. `place`: where they were read.

    The log names what they override. A blank setting overrides none: it must not lift what the task restricts.
    """
    shared = read_settings(task.params.get("result_settings"), place="result_settings")
    new = {key: value for key, value in settings.items() if not is_left_out(value)}
    replaced = [show_value(key).strip("'") for key in new if str(shared.get(key, new[key])) != str(new[key])]
    replaced += [name for name in params if task.params.get(name, params[name]) != params[name]]
    if replaced:
        log.info("%s overrides the task's %s", place, ", ".join(replaced))
    own = {name: value for name, value in task.params.items() if name not in _ROWS or _ROWS.isdisjoint(params)}
    return replace(task, params={**own, **params, "result_settings": {**dict.fromkeys(settings), **shared, **new}})


def read_task_request(task: workflow.Task, *, table: SettingsTable[_S], rows: Rows | None = None) -> TaskRequest[_S]:
    """Return a task's settings, source of rows, and opt-out and consent lists. `rows`: used in place of a job's rows.

    `table`: the allowed settings. Raises SettingsError with every problem.
    """
    raw = task.params.get("result_settings")
    if "activation_id" in task.params and isinstance(raw, str):  # the console's text
        with contextlib.suppress(WrongValueError):  # `build_settings` reports unreadable text
            raw = drop_console_keys(read_mapping(raw), table)
    parsed, errors = parse_values(raw, table=table, environ=task.environ), SettingsErrorCollector()
    action, settings = parsed.action, errors.call(build_settings, parsed)
    if settings and settings.history:  # only for its problems: the history finds the database again
        errors.call(read_history_database, task, settings.history)
    errors.call(getattr, task, "endpoints")
    for name, meant in find_misspelt_parameters(task.params).items():
        errors.append(SettingsError(f"{name} is not a parameter of an export; did you mean {meant}?", key=name))
    source: Source | Rows | None = rows
    if source is None and (action is None or action.reads_rows):
        source = errors.call(workflow.read_source, task)
        errors.call(getattr, task, "td_api_key")
    lists = _read_people_lists(task, action, errors) if "action" in table.by_name else {}
    if source and isinstance(settings, Settings) and (reason := find_hashing_reason(settings.action, settings.hash_in)):
        errors.call(require_hashable, source, needed_by=reason)
    for name, each in {"query": source, **lists}.items():
        if isinstance(each, Source) and each.query and each.engine in ENGINES:  # of several, one result would count
            errors.call(require_one_statement, each.query, name=name)
    errors.raise_any()
    assert settings, "its problem was raised"  # noqa: S101
    for warning in settings.warnings:
        log.warning("%s", warning)
    settings = replace(settings, requests_per_minute=max(settings.requests_per_minute // task.concurrent, 1))
    return TaskRequest(task=task, settings=settings, source=source, lists=lists)


def _read_people_lists(
    task: workflow.Task, action: ActionSpec | None, errors: SettingsErrorCollector
) -> Mapping[str, Source]:
    """Return the task's opt-out and consent lists by parameter name. Logs which lists the action ignores."""
    if action is None or action.adds_people:
        queries = {name: errors.call(workflow.read_list_source, task, name) for name in LISTS}
        return {name: query for name, query in queries.items() if query}
    if unused := [name for name in LISTS if name in task.params]:
        log.warning("the action %s adds no people, so it ignores the task's %s", action.name, " and ".join(unused))
    return {}
