"""td> tasks of Treasure Data's built-in Pinterest connector, as the answers of `init --from`.

Values are taken one by one, each by the run's own parser. Credentials, environments and hosts are never taken, and
nothing outside the old file's folder is read. What is left out is named, without its value.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from td_pinterest_op.audiences.actions import EXPORT_SETTINGS, find_action_spec
from td_pinterest_op.cli import interview, screen
from td_pinterest_op.cli.lint.findings import FileLine, Findings
from td_pinterest_op.cli.lint.operator_task import VARIABLE_BY_CREDENTIAL
from td_pinterest_op.cli.lint.workflow_check import find_built_in_connector_settings, has_plain_part, work_inside
from td_pinterest_op.cli.lint.yaml_file import YamlBlock, YamlReader
from td_pinterest_op.cli.project_folder import EXPORT_ACTIONS, INIT_JOBS, PEOPLE_QUERY_FILE, NewProject
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.secret import mask_and_escape, replace_in_texts
from td_pinterest_op.runtime.project_file import read_project_file
from td_pinterest_op.settings.table import SETTINGS_FOR_ALL_ENTRIES, WITHHOLDING_LIST_NAMES
from td_pinterest_op.settings.types import ENGINE_TYPE, SettingType, WrongValueError, is_left_out, may_have_lost_digits

_TASK_BLOCKS = ("_do", "_else_do")
_FILE_SETTINGS = ("report", *WITHHOLDING_LIST_NAMES)
_DATABASE_TYPE = SettingType(
    parse=lambda value: _require_match("[a-z0-9_]{3,128}", value), allowed="the name of a database"
)
_REVOKE = "in plain text, for everybody who can read the file: revoke it. `td-pinterest authorize` stores another"
_NEEDED_NO_MORE = "`td-pinterest authorize` gets and stores a token of your own"
_OPTIONS = "config/environment.yml, --region and --alert have what the new folder needs of it"
_NOT_TAKEN = "write it into the new folder if you still need it"


def _require_match(pattern: str, value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(pattern, value.strip()):
        raise WrongValueError("is not an allowed value")
    return value.strip()


@dataclass(frozen=True, kw_only=True)
class _ConnectorTask:
    """A task, with the groups around it, the outermost first. `names`: of all of them, such as +group, +export."""

    block: YamlBlock
    groups: tuple[YamlBlock, ...]
    names: tuple[str, ...]
    settings: YamlBlock

    @property
    def name(self) -> str:
        """The full name, such as +group+export, escaped and cut."""
        return mask_and_escape("".join(self.names))


@dataclass
class _Conversion:
    """One task as settings and a query, with the reasons why other keys are left out, by key."""

    task: _ConnectorTask
    settings: dict[str, Any] = field(default_factory=dict)
    sql: str = ""
    td: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def leave_out(self, key: object, reason: str) -> None:
        """Remember the reason why a key is not taken."""
        self.left_out[mask_and_escape(str(key), longest=40)] = reason


def convert_existing_tasks(paths: Sequence[Path], *, task_name: str) -> NewProject:
    """Return the project that does what the connector's tasks in workflow files do, and print what is left out.

    `task_name`: the end of the name of the only task to take, or "" for all. Raises SettingsError for a file without
    such a task, for what only a run knows, and for tasks with different schedules.
    """
    converted: list[_Conversion] = []
    schedules: list[tuple[str, dict[str, Any]]] = []
    for path in paths:
        findings = Findings()
        with work_inside(path.parent):
            root = YamlReader(findings).read_file(Path(path.name), FileLine(Path(path.name), 1))
            if root is None or findings:
                raise SettingsError(f"{path.parent / findings[0].path}:{findings[0].line}: {findings[0].message}")
            tasks = [each for each in _find_tasks(root, (), ()) if "".join(each.names).endswith(task_name)]
            if not tasks:
                which = f" {mask_and_escape(task_name)}" if task_name else ""
                raise SettingsError(
                    f"{path} has no td> task{which} with Treasure Data's built-in Pinterest connector: name another"
                )
            of_file = [_convert_task(path, task) for task in tasks]
        schedules.append(_convert_schedule(root, of_file[0]))
        converted += of_file
        for each in of_file:
            _print_report(path, each)
    if any(schedule != schedules[0] for schedule in schedules):
        raise SettingsError("the files have different schedules or time zones: make a folder for each of them")
    project = _build_list(converted) if len(converted) > 1 else _build_export(converted[0])
    project.timezone, project.schedule = schedules[0]
    return project


def _find_tasks(block: YamlBlock, groups: tuple[YamlBlock, ...], names: tuple[str, ...]) -> Iterator[_ConnectorTask]:
    settings = find_built_in_connector_settings(block)
    if settings is not None:
        yield _ConnectorTask(block=block, groups=groups, names=names, settings=settings)
    for key, member in block.items():
        if isinstance(member, YamlBlock) and (key.startswith("+") or key in _TASK_BLOCKS):
            yield from _find_tasks(member, (*groups, block), (*names, key) if key.startswith("+") else names)


def _convert_task(path: Path, task: _ConnectorTask) -> _Conversion:
    conversion = _Conversion(task)
    for group in task.groups:
        if operator := next((key for key in group if key.endswith(">")), None):
            raise SettingsError(
                f"{path}: {mask_and_escape(operator)} decides whether, or how often, {task.name} runs, and the new "
                "workflow always runs it once: take the task out of it in a copy of the file"
            )
    _take_settings(conversion)
    action = find_action_spec(conversion.settings, table=EXPORT_SETTINGS)
    is_named = not is_left_out(task.settings.get("action"))
    if action is None or action not in EXPORT_ACTIONS.values() or is_named != ("action" in conversion.settings):
        raise SettingsError(f"{path}: {task.name} has no action that a shipped workflow runs")
    conversion.settings["action"] = action.name
    for name in list(conversion.settings):
        setting = EXPORT_SETTINGS.by_name[name]
        if not setting.restricts and not setting.is_used_by(action):
            conversion.leave_out(name, f"{action.name} does not use it")
            del conversion.settings[name]
    _take_database_and_engine(conversion)
    if action.reads_rows:
        conversion.sql = _read_query(path, task)
        if "database" not in conversion.td:
            raise SettingsError(f"{path}: {task.name} has no plain `database`: write it into a copy of the file")
    taken = {"td>", "result_settings", "database", "engine", "query"}
    for key in task.block:
        if key not in taken:
            conversion.leave_out(key, _explain_left_out_key(key, task.block[key]))
    conversion.settings.setdefault("history", "pinterest_history")
    return conversion


def _take_database_and_engine(conversion: _Conversion) -> None:
    task = conversion.task
    exported = YamlBlock(task.block.place)
    for block in (*task.groups, task.block):
        exported.update(block.get_block("_export").get_block("td"))
    for name, type_ in (("database", _DATABASE_TYPE), ("engine", ENGINE_TYPE)):
        value = task.block.get(name, exported.get(name))
        if value == f"${{td.{name}}}":
            value = exported.get(name)
        if value is None:
            continue
        try:
            conversion.td[name] = type_.parse(_require_plain(value))
        except WrongValueError as error:
            conversion.leave_out(name, str(error))


def _take_settings(conversion: _Conversion) -> None:
    taken: dict[str, Any] = {"type": "pinterest", "audience_type": "customer_list"}
    for name, value in conversion.task.settings.items():
        setting = EXPORT_SETTINGS.by_name.get(name)
        if setting is None:
            conversion.leave_out(name, "there is no such setting")
        elif setting.is_credential:
            if not is_left_out(value):
                is_plain = name != "client_id" and (not isinstance(value, str) or has_plain_part(value))
                conversion.leave_out(name, _REVOKE if is_plain else _NEEDED_NO_MORE)
        elif name in _FILE_SETTINGS:
            conversion.leave_out(name, "the connector reads no such file or query")
        elif not is_left_out(value):
            try:
                setting.type.parse(_require_plain(value))
                taken[name] = str(value) if isinstance(value, int) and setting.type.is_id else value
            except WrongValueError as error:
                conversion.leave_out(name, str(error))
            if may_have_lost_digits(value):
                conversion.leave_out(name, "the id is not in quotes, and may have lost digits: write it yourself")
                taken.pop(name, None)
    conversion.settings = replace_in_texts(taken, "$$", "$")


def _require_plain(value: object) -> object:
    """Return a value without a template. Raises WrongValueError for another."""
    if "${" in str(value):
        raise WrongValueError("only a run knows its value: write the value itself")
    return value


def _explain_left_out_key(key: str, value: object) -> str:
    if key in ("_env", "endpoint", "result_url", "_error", "_export"):
        return _OPTIONS
    if key in ("result_connection", *VARIABLE_BY_CREDENTIAL, *VARIABLE_BY_CREDENTIAL.values(), "TD_API_KEY", "apikey"):
        return _REVOKE if key != "result_connection" and has_plain_part(str(value)) else _NEEDED_NO_MORE
    return _NOT_TAKEN


def _read_query(path: Path, task: _ConnectorTask) -> str:
    """Return the SQL of a td> task. Raises SettingsError for a template, or a file that is not in the folder."""
    command = task.block["td>"]
    sql: object = task.block.get("query")
    if isinstance(command, YamlBlock):
        sql = command.get("data")
    elif isinstance(command, str) and command.strip():
        sql = command if "${" in command else read_project_file(command.strip(), key=f"{path}: td>")
    if not isinstance(sql, str) or not sql.strip():
        raise SettingsError(f"{path}: {task.name} has no query: name another task")
    if "${" in sql:
        raise SettingsError(
            f"{path}: the query of {task.name} contains a template, which only td> fills in: write the value itself. "
            "TD_SCHEDULED_TIME() and TD_INTERVAL have the session's time"
        )
    return sql.replace("$$", "$")


def _convert_schedule(root: YamlBlock, conversion: _Conversion) -> tuple[str, dict[str, Any]]:
    """Return a workflow's time zone and schedule, as far as `init` knows them."""
    timezone = "UTC"
    schedule: dict[str, Any] = {}
    try:
        timezone = interview.parse_timezone(str(root.get("timezone", "UTC"))) or "UTC"
    except click.BadParameter:
        conversion.leave_out("timezone", _NOT_TAKEN)
    for key, value in root.get_block("schedule").items():
        try:
            if key.endswith(">") and interview.parse_schedule(f"{key}: {value}"):
                schedule[key] = str(value)
            elif key == "skip_on_overtime" and isinstance(value, bool):
                schedule[key] = value
            else:
                conversion.leave_out(f"schedule {key}", _NOT_TAKEN)
        except click.BadParameter:
            conversion.leave_out(f"schedule {key}", _NOT_TAKEN)
    return timezone, schedule if any(key.endswith(">") for key in schedule) else {}


def _build_export(conversion: _Conversion) -> NewProject:
    project = NewProject(job=INIT_JOBS["export"], settings=conversion.settings, td={"database": "", **conversion.td})
    if conversion.sql:
        project.queries[PEOPLE_QUERY_FILE] = conversion.sql
    return project


def _build_list(converted: Sequence[_Conversion]) -> NewProject:
    """Return a project with an entry for each task."""
    project = NewProject(job=INIT_JOBS["audiences"], td={"database": "", **converted[0].td})
    common = {"type", "audience_type", "history"}
    for name in SETTINGS_FOR_ALL_ENTRIES.by_name:
        values = [each.settings.get(name) for each in converted]
        if any(value is not None for value in values):
            common.add(name)
    project.settings = {name: value for name, value in converted[0].settings.items() if name in common}
    names: set[str] = set()
    for number, each in enumerate(converted, start=1):
        base = re.sub(r"[^A-Za-z0-9_-]+", "_", "_".join(each.task.names)).strip("_")[:60] or f"entry_{number}"
        name = base if base not in names else f"{base}_{number}"
        names.add(name)
        if different := [key for key in common if each.settings.get(key) != project.settings.get(key)]:
            raise SettingsError(
                f"{each.task.name} has another {', '.join(sorted(different))} than {converted[0].task.name}, and a "
                "list of audiences has one for all: make a folder for each, with --task"
            )
        own: Mapping[str, Any] = {key: value for key, value in each.settings.items() if key not in common}
        entry = {"name": name, **own, **each.td}
        if each.sql:
            entry["query"] = f"queries/{name}.sql"
            project.queries[entry["query"]] = each.sql
        project.entries.append(entry)
    return project


def _print_report(path: Path, conversion: _Conversion) -> None:
    taken = [*conversion.settings, *conversion.td, *(["query"] if conversion.sql else [])]
    screen.print_note(f"{path}, {conversion.task.name}: taken are {', '.join(taken)}")
    for reason in dict.fromkeys(conversion.left_out.values()):
        keys = ", ".join(key for key, each in conversion.left_out.items() if each == reason)
        screen.print_note(f"  left out: {keys}: {reason}")
    screen.print_note(f"  Once the new workflow runs, end {conversion.task.name} of {path}: both would do the same")
