"""Read the settings, rows and lists of a task, and report every problem before anything is contacted."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from td_pinterest_op.errors import SettingProblem, SettingsError, SettingsErrorCollector
from td_pinterest_op.settings.parse import (
    ParsedSettings,
    build_settings,
    find_action_spec,
    find_target_audience_id,
    parse_known_setting,
    parse_raw_settings,
    parse_values,
)
from td_pinterest_op.settings.table import (
    FOR_THIS_RUN_PARAMETER,
    FOR_THIS_RUN_SETTING_NAMES,
    WITHHOLDING_LIST_NAMES,
    ConnectionSettings,
    ExportSettings,
    PeopleSettings,
    SettingsTable,
)
from td_pinterest_op.settings.types import describe_value, is_left_out
from td_pinterest_op.task_runtime.task import (
    Task,
    build_task_source,
    parse_api_key,
    parse_endpoints,
    read_row_source,
    require_history_database,
)
from td_pinterest_op.treasure_data.job import JobOrQuery
from td_pinterest_op.trino.hashed_query import require_hashable

log = logging.getLogger(__name__)

ROW_SOURCE_PARAMETERS = frozenset({"query", "job_id"})
"""The parameters that name the rows to export: a task has one at most."""

_S = TypeVar("_S", bound=ConnectionSettings)


@dataclass(frozen=True, kw_only=True)
class TaskRequest(Generic[_S]):
    """What a task asks for, once it is checked."""

    task: Task
    settings: _S
    source: JobOrQuery | None  # where the rows come from; None for an action that reads none
    lists: Mapping[str, JobOrQuery]  # the queries of opt-outs and consent, by name


ExportRequest = TaskRequest[ExportSettings]


def get_raw_settings(task: Task) -> Mapping[object, object]:
    """Return a task's unchecked `result_settings` as a mapping.

    Raises SettingsError for text in an activation.
    """
    raw = task.params.get("result_settings")
    require_no_text_of_console(task, raw, name="result_settings")
    return parse_raw_settings(raw)


def require_no_text_of_console(task: Task, value: object, *, name: str) -> None:
    """Raise SettingsError if settings or entries are text in an activation.

    The text may be the console's, whose users must not choose everything.
    """
    if "activation_id" in task.params and isinstance(value, str) and not is_left_out(value):
        raise SettingsError(
            f"{name} is text beside an activation_id, so it may be the console's, which only "
            "td_pinterest_op.activation.PinterestActivation takes, by itself: write it as YAML, without text around it",
            key=name,
        )


def parse_task_request(task: Task, *, table: SettingsTable[_S]) -> TaskRequest[_S]:
    """Return what a task asks for: its settings, the source of its rows, and its opt-out and consent lists.

    Raises one SettingsError for all problems, which names the ad account and the audience if the settings do.
    """
    errors = SettingsErrorCollector()
    raw = errors.call_and_collect(get_raw_settings, task)
    parsed = _parse_task_settings(task, raw or {}, table, errors)
    settings: _S | None = None if raw is None else errors.call_and_collect(build_settings, parsed)
    action = parsed.action
    if settings and settings.history:
        errors.call_and_collect(require_history_database, task, settings.history)
    errors.call_and_collect(parse_endpoints, task.environ)
    source: JobOrQuery | None = None
    if raw is None:  # the settings are unreadable, so a wrong source is reported only if the task names one
        reads_rows = not ROW_SOURCE_PARAMETERS.isdisjoint(task.params)
    else:
        reads_rows = action is None or action.reads_rows
    if reads_rows and issubclass(table.settings_class, PeopleSettings):
        source = errors.call_and_collect(read_row_source, task)
        errors.call_and_collect(parse_api_key, task.environ)
    lists: dict[str, JobOrQuery] = {}
    if "action" in table.by_name:
        errors.call_and_collect(reject_misplaced_lists, task)
        names = WITHHOLDING_LIST_NAMES if action is None or action.adds_people else ()
        for name in names:
            query = parsed.values_with_defaults[name]
            if query and (source_of_list := errors.call_and_collect(build_task_source, task, name, query)):
                lists[name] = source_of_list
    if source and isinstance(settings, ExportSettings):
        errors.call_and_collect(require_hashable, source, settings)
    with naming_subjects(raw or {}, table=table):
        errors.raise_collected()
    assert settings, "its problem was raised"  # noqa: S101
    for warning in settings.warnings:
        log.warning("%s", warning.text)
    return TaskRequest(task=task, settings=settings, source=source, lists=lists)


@contextlib.contextmanager
def naming_subjects(settings: Mapping[object, object], *, table: SettingsTable[Any]) -> Iterator[None]:
    """Within the `with` block, let a SettingsError name the ad accounts and the audience of unchecked `settings`."""
    try:
        yield
    except SettingsError as error:
        parse = partial(parse_known_setting, settings=settings, table=table)
        action = parse("action")
        accounts = parse("ad_account_ids") or [parse("ad_account_id")]
        audience = find_target_audience_id(settings, action, table=table) or parse("audience_name")
        error.add_subjects([*(("ad account", account) for account in accounts), ("audience", audience)])
        raise


def reject_misplaced_lists(task: Task) -> None:
    """Raise SettingsError if opt-out or consent lists are next to a task's settings, not in them."""
    if names := [name for name in WITHHOLDING_LIST_NAMES if name in task.params]:
        text = (
            f"{' and '.join(names)} next to result_settings would withhold nobody: move the line into result_settings"
        )
        problems = [SettingProblem(key=name, code="misplaced", text=text) for name in names]
        raise SettingsError(text, problems=problems)


def _parse_task_settings(
    task: Task, settings: Mapping[object, object], table: SettingsTable[Any], errors: SettingsErrorCollector
) -> ParsedSettings:
    """Return a task's parsed `settings`, which the settings for this run override."""
    action = find_action_spec(settings, table=table)
    given = errors.call_and_collect(_parse_settings_for_this_run, task) or {}
    known = [name for name in given if name in table.by_name]
    used = {name: given[name] for name in known if action is None or table.by_name[name].is_used_by(action)}
    if used:
        log.warning("set for this run, and for each retry of its attempt: %s", ", ".join(used))
    if unused := [name for name in given if name not in used]:
        log.warning("%s has settings that this task does not have: %s", FOR_THIS_RUN_PARAMETER, ", ".join(unused))
    return parse_values(settings, table=table, environ=task.environ, for_this_run=used)


def _parse_settings_for_this_run(task: Task) -> dict[str, object]:
    if FOR_THIS_RUN_PARAMETER not in task.params:
        return {}
    require_no_text_of_console(task, task.params[FOR_THIS_RUN_PARAMETER], name=FOR_THIS_RUN_PARAMETER)
    given = parse_raw_settings(task.params[FOR_THIS_RUN_PARAMETER], place=FOR_THIS_RUN_PARAMETER)
    faults = [name for name, value in given.items() if name not in FOR_THIS_RUN_SETTING_NAMES or is_left_out(value)]
    if faults or not given:
        names = ", ".join(describe_value(name).strip("'") for name in faults or ["all of it"])
        raise SettingsError(
            f"{FOR_THIS_RUN_PARAMETER}: blank, or not to be set for one run: {names}; allowed: a mapping, or its JSON "
            f"text, with values for {', '.join(FOR_THIS_RUN_SETTING_NAMES)}",
            key=FOR_THIS_RUN_PARAMETER,
        )
    return {str(name): value for name, value in given.items()}
