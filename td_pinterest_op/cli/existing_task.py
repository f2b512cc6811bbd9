"""td> tasks of Treasure Data's built-in Pinterest connector, as the answers of `init --from`.

Values are taken one by one, each by the run's own parser. Credentials, environments and hosts are never taken, and
nothing outside the old file's folder is read. What is left out is named, without its value.
"""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
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
_SHORTEST_SECRET = 8  # what is shorter, such as "TODO", may be anywhere
_FILE_SETTINGS = ("report", *WITHHOLDING_LIST_NAMES)
_PUBLIC_KEYS = ("client_id", "PINTEREST_CLIENT_ID", "result_connection")
_KEYS_OF_OPTIONS = ("endpoint", "TD_API_SERVER", "DIGDAG_ENDPOINT", "_error")
_CREDENTIAL_KEYS = (*_PUBLIC_KEYS, *VARIABLE_BY_CREDENTIAL, *VARIABLE_BY_CREDENTIAL.values(), "TD_API_KEY", "apikey")
_DATABASE_TYPE = SettingType(
    parse=lambda value: _require_match("[a-z0-9_]{3,128}", value), allowed="the name of a database"
)
_REVOKE = "in plain text, for everybody who can read the file: revoke it. `td-pinterest authorize` stores another"
_NOT_NEEDED = "`td-pinterest authorize` gets and stores a token of your own"
_OPTIONS = "config/environment.yml, --region and --alert are for this"
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
    plain_credentials: dict[str, str] = field(default_factory=dict)

    def leave_out(self, key: object, reason: str) -> None:
        """Remember the reason why a key is not taken."""
        self.left_out[mask_and_escape(str(key), longest=40)] = reason

    def leave_out_by_name(self, key: str, value: object, *, path: str = "") -> None:
        """Remember why a key is not taken that has no place in the new folder. `path`: the keys around it."""
        reason = _OPTIONS if key in _KEYS_OF_OPTIONS else _NOT_TAKEN
        if key in _CREDENTIAL_KEYS and not is_left_out(value):
            reason = _NOT_NEEDED
            if key not in _PUBLIC_KEYS and has_plain_part(str(value)):
                reason = _REVOKE
                self.plain_credentials[key] = str(value).strip()
        self.leave_out(f"{path}{key}", reason)


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
                first = next(iter(findings))
                raise SettingsError(f"{path.parent / first.path}:{first.line}: {first.message}")
            end = f"+{task_name.removeprefix('+')}" if task_name else ""
            tasks = [each for each in _find_tasks(root, (), ()) if "".join(each.names).endswith(end)]
            if not tasks:
                which = f" {mask_and_escape(task_name)}" if task_name else ""
                raise SettingsError(
                    f"{path} has no td> task{which} with Treasure Data's built-in Pinterest connector: name another"
                )
            of_file = [_convert_task(path, task) for task in tasks]
            _leave_out_what_is_around(of_file)
        schedules.append(_convert_schedule(root, of_file[0]))
        converted += of_file
        for each in of_file:
            _print_report(path, each)
    if any(schedule != schedules[0] for schedule in schedules):
        raise SettingsError("the files have different schedules or time zones: make a folder for each of them")
    project = _build_list(converted) if len(converted) > 1 else _build_export(converted[0])
    taken = str(project)
    for each in converted:
        for key, value in each.plain_credentials.items():
            if len(value) >= _SHORTEST_SECRET and value in taken:
                raise SettingsError(
                    f"the value of {key} is in another setting or the query as well, and credentials are not copied: "
                    "remove it from a copy of the file"
                )
    project.settings.setdefault("history", "pinterest_history" if project.td["database"] else "")
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
                f"{path}: {task.name} is inside {mask_and_escape(operator)}, and the new workflow would run it exactly "
                "once: move the task out of it in a copy of the file"
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
    _leave_out_keys(conversion, task.block, taken={"td>", "result_settings", "database", "engine", "query"})
    return conversion


def _leave_out_what_is_around(converted: Sequence[_Conversion]) -> None:
    """Name what the groups around a file's tasks have besides these tasks."""
    names = {name for each in converted for name in each.task.names}
    for group in {id(group): group for each in converted for group in each.task.groups}.values():
        _leave_out_keys(converted[0], group, taken={*names, *_TASK_BLOCKS, "timezone", "schedule"})


def _leave_out_keys(conversion: _Conversion, block: YamlBlock, *, taken: Set[str], path: str = "") -> None:
    for key, value in block.items():
        if key in taken:
            continue
        if isinstance(value, YamlBlock) and key in ("_env", "_export", "td"):
            _leave_out_keys(
                conversion, value, taken={"database", "engine"} if key == "td" else set(), path=f"{path}{key} "
            )
        else:
            conversion.leave_out_by_name(key, value, path=path)


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
                conversion.leave_out_by_name(name, value)
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
    # An engine of one task is none of the others'.
    project = NewProject(job=INIT_JOBS["audiences"], td={"database": converted[0].td.get("database", "")})
    common = {"type", "audience_type", "history"}
    for name in SETTINGS_FOR_ALL_ENTRIES.by_name:
        values = [each.settings.get(name) for each in converted]
        if any(value is not None for value in values):
            common.add(name)
    project.settings = {name: value for name, value in converted[0].settings.items() if name in common}
    names: set[str] = set()
    for number, each in enumerate(converted, start=1):
        base = re.sub(r"[^A-Za-z0-9-]+", "_", "".join(each.task.names)).strip("_")[:60] or f"entry_{number}"
        name = base if base not in names else f"{base}_{number}"
        names.add(name)
        if different := [key for key in common if each.settings.get(key) != project.settings.get(key)]:
            raise SettingsError(
                f"{each.task.name} has another {', '.join(sorted(different))} than {converted[0].task.name}, and a "
                "list of audiences has one for all: make a folder for each, with --task"
            )
        own: Mapping[str, Any] = {key: value for key, value in each.settings.items() if key not in common}
        entry = {"name": name, **own, **{key: value for key, value in each.td.items() if project.td.get(key) != value}}
        if each.sql:
            entry["query"] = f"queries/{name}.sql"
            project.queries[entry["query"]] = each.sql
        project.entries.append(entry)
    return project


def _print_report(path: Path, conversion: _Conversion) -> None:
    taken = [*conversion.settings, *conversion.td, *(["query"] if conversion.sql else [])]
    screen.print_note(f"{path}, {conversion.task.name}: takes over {', '.join(taken)}")
    for reason in dict.fromkeys(conversion.left_out.values()):
        keys = ", ".join(key for key, each in conversion.left_out.items() if each == reason)
        screen.print_note(f"  left out: {keys}: {reason}")
    screen.print_note(f"  Once the new workflow runs, remove {conversion.task.name} from {path}: both do the same")
