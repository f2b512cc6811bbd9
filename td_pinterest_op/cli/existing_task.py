"""A task of an existing workflow, of the built-in connector or of version 0.5, as the answers of `init --from`.

Each key of the task, of its settings and of the groups around it is taken, or named with the reason why it is not.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from td_pinterest_op.audiences.actions import EXPORT_SETTINGS, find_action_spec
from td_pinterest_op.cli import files, screen
from td_pinterest_op.cli.connection import SECRETS_BY_VARIABLE
from td_pinterest_op.cli.lint.old_workflow import DigTask, Workflow
from td_pinterest_op.cli.lint.old_yaml import FileLine, YamlBlock
from td_pinterest_op.cli.lint.workflow_check import work_inside
from td_pinterest_op.cli.project_folder import EXPORT_ACTIONS, NewProject, format_yaml_value, render_yaml_mapping
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.many import build_entry_task, parse_entries
from td_pinterest_op.settings.parse import parse_raw_settings
from td_pinterest_op.settings.table import JOB_OPTIONS, WITHHOLDING_LIST_NAMES
from td_pinterest_op.settings.types import (
    build_suggestion_text,
    has_secret_reference,
    is_left_out,
    may_have_lost_digits,
)
from td_pinterest_op.task_runtime.task import Task, read_sql_or_file

# Also `$ {`, as in the value of a variable, which digdag does not fill in.
_ANY_TEMPLATE_PATTERN = re.compile(r"\$ ?\{([^{}]*)")
# What `init` calls the job of a class; "" for an export, whose action says it.
_INIT_JOB_BY_CLASS = {
    "td_pinterest_op.export.PinterestExport": "",
    "td_pinterest_op.activation.PinterestActivation": "activation",
    "td_pinterest_op.many.Many": "audiences",
}
_QUERY_JOB_OPTIONS = ("engine", *JOB_OPTIONS)
_KEPT_VARIABLES = ("docker", "py")
_CONVERTED_KEYS = {
    *("result_settings", "query", "database", "audiences", "at_once", "later_runs"),
    *("timezone", "schedule", "_env", "_export", "_do"),
    *(*_QUERY_JOB_OPTIONS, *_KEPT_VARIABLES, *WITHHOLDING_LIST_NAMES),
}
_TD_KEYS_WITHOUT_RESULT = {"create_table", "insert_into"}
_ADDRESS_VARIABLES = ("TD_API_SERVER", "DIGDAG_ENDPOINT")
_PLAIN_SECRET_KEYS = ("client_secret", "refresh_token", *SECRETS_BY_VARIABLE)
_PLAIN_TEXT_REASON = (
    "in plain text, for everybody who can read the file: revoke it, and store another as a secret; `td-pinterest "
    "authorize` stores those of Pinterest"
)
_CREDENTIAL_LEFT_OUT_REASON = "the new folder has a secret in its place, which `td-pinterest authorize` stores"
_DEFAULT_LEFT_OUT_ADVICE = "write it into the new folder if you still need it"
_LEFT_OUT_REASONS = {
    "result_connection": "its credentials belong to Treasure Data; `td-pinterest authorize` gets a token of your own",
    "result_url": "this operator has no result URL; if credentials are in it, revoke them",
    "apikey": _PLAIN_TEXT_REASON,
    "endpoint": "name the address of Treasure Data's API with --region",
    "_error": "config/failed.yml does what is needed after a failure; name your alerts in config/workflow.yml",
    **dict.fromkeys(("download_file", "store_last_results", "preview"), "it has no meaning for this export"),
}


def convert_existing_task(path: Path, *, task_name: str, entry_name: str) -> NewProject:
    """Return the project that does what a task in a workflow file does, and print what it has and what is left out.

    `task_name`: needed where the file has several exports. `entry_name`: one of its list, or "" for all. Raises
    SettingsError for a file without such a task, and for what only a run knows.
    """
    workflow = Workflow(path)
    if workflow.findings:
        raise SettingsError(str(workflow.findings[0]))
    exports = [
        task
        for task in workflow.tasks
        if task.package_class_name in _INIT_JOB_BY_CLASS or task.find_builtin_connector_settings()
    ]
    named = [task for task in exports if task.full_name.endswith(task_name)]
    if not exports:
        raise SettingsError(f"no task of {path} exports to Pinterest: name another file")
    if len(named) != 1:
        names = ", ".join(task.full_name for task in exports)
        raise SettingsError(f"{path} exports to Pinterest in {names}: choose one with --task, or another file")
    with work_inside(path.parent):
        return _ExistingTaskConverter(workflow, named[0], named[0]).convert_and_report(entry_name)


def _get_job_options(params: YamlBlock) -> dict[str, Any]:
    td = params.get_block("td")
    return {name: params.get(name, td.get(name)) for name in ("database", *_QUERY_JOB_OPTIONS)}


def _upgrade_list_entry(members: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a list's entry as this version has it: without `result_settings` around its settings or `segment`."""
    entry = dict(members)
    entry.update(parse_raw_settings(entry.pop("result_settings", None)))
    column = entry.pop("column", None) or "email"
    if segment := entry.pop("segment", None):
        entry["query"] = f"SELECT {column} FROM {segment}"  # noqa: S608 - for a file
    return entry


@dataclass
class _ExistingTaskConverter:
    workflow: Workflow
    task: DigTask
    query_task: DigTask  # the task with its query
    left_out_reasons: dict[str, str] = field(default_factory=dict)  # by what the folder does not have

    def convert_and_report(self, entry_name: str) -> NewProject:
        params = self.task.get_filled_params()
        # Version 0.5 had the lists beside the settings.
        lists = {name: params[name] for name in WITHHOLDING_LIST_NAMES if name in params}
        settings: dict[Any, Any] = {**parse_raw_settings(params.get("result_settings")), **lists}
        project = NewProject(job=_INIT_JOB_BY_CLASS.get(self.task.package_class_name, ""))
        project.exported = {name: params[name] for name in _KEPT_VARIABLES if name in params}
        if project.job == "audiences" or entry_name:
            whole = Task(params={**params, "result_settings": settings}, environ={})
            entries = {name: _upgrade_list_entry(members) for name, members in parse_entries(whole).items()}
            built = {name: build_entry_task(whole, members, name) for name, members in entries.items()}
            if entry_name in built:
                params.update(built[entry_name].params)
                settings = dict(params["result_settings"])
                project.job = ""
            elif entry_name:
                raise SettingsError(f"{self.workflow.path} has no entry {entry_name}: it has {', '.join(built)}")
            else:
                listed = [{key: self._require_no_template(key, each[key]) for key in each} for each in entries.values()]
                project.entries = {"audiences": listed, "at_once": params.get("at_once", 4)}
        project.settings = self._convert_settings(settings, params)
        if project.job == "activation":
            project.files["queries/activation.sql"] = self._read_sql_or_file("query", params.get("query", ""))
            project.entries = {"later_runs": params["later_runs"]} if "later_runs" in params else {}
        if project.job:
            self._add_sql_files(project)
        else:
            self._add_job_query_and_lists(project, params)
        if self.query_task is not self.task:
            params = self.query_task.get_filled_params()
        options = _get_job_options(params)
        project.td = {"database": options.pop("database") or ""}
        project.parameters = {name: value for name, value in options.items() if value is not None}
        root = self.workflow.root
        project.timezone = format_yaml_value(root.get("timezone", "UTC"))
        project.schedule = render_yaml_mapping(root.get_block("schedule")).rstrip()
        for name, value in self.task.fill_templates(self.task.block.get_block("_env")).items():
            if value == f"${{secret:{SECRETS_BY_VARIABLE.get(name)}}}":
                continue  # it is in every folder
            if has_secret_reference(value) or name in _ADDRESS_VARIABLES:
                project.environment[name] = value
            else:
                self.left_out_reasons[name] = (
                    _PLAIN_TEXT_REASON if name in _PLAIN_SECRET_KEYS else _DEFAULT_LEFT_OUT_ADVICE
                )
        self._note_left_out_keys(params)
        self._print_report(project, entry_name)
        return project

    def _add_job_query_and_lists(self, project: NewProject, params: YamlBlock) -> None:
        settings = project.settings
        action = find_action_spec(settings)
        job = next((name for name, each in EXPORT_ACTIONS.items() if each is action), None)
        if action is None or job is None:
            raise SettingsError(f"{self.workflow.path}: no shipped workflow runs the action {settings.get('action')}")
        project.job = job
        for name in list(settings):
            setting = EXPORT_SETTINGS.by_name[name]
            if not setting.restricts and not setting.is_used_by(action):
                self.left_out_reasons[name] = f"{action.name} does not use it"
                del settings[name]
        if action.reads_rows:
            project.query = self._read_people_query(params)
        for name in WITHHOLDING_LIST_NAMES:
            if name in settings:
                settings[name] = self._read_sql_or_file(name, settings[name])
        ours = _get_job_options(params)
        theirs = _get_job_options(self.query_task.get_filled_params())
        shared = ["database"] if settings.keys().isdisjoint(WITHHOLDING_LIST_NAMES) else ["database", "engine"]
        differing = [name for name in shared if ours[name] != theirs[name]]
        if differing and self.query_task is not self.task:
            raise SettingsError(
                f"{self.workflow.path}: {self.query_task.full_name} and {self.task.full_name}, with its lists and "
                f"history, become one task, but have different values for {' and '.join(differing)}: give both the same"
            )
        if not self.task.package_class_name:
            settings.setdefault("history", "pinterest_history")

    def _read_people_query(self, params: YamlBlock) -> str:
        if self.task.package_class_name:
            if not is_left_out(params.get("query")):
                return self._read_sql_or_file("query", params["query"])
            before = self.workflow.tasks[: self.workflow.tasks.index(self.task)]
            queries = [
                task for task in before if task.operator == "td" and not _TD_KEYS_WITHOUT_RESULT & task.block.keys()
            ]
            if "job_id" in params or not queries:
                raise SettingsError(
                    f"{self.workflow.path}: {self.task.full_name} exports a job that no td> task before it runs: give "
                    "it a `query`, and its `database`"
                )
            self.query_task = queries[-1]
            params = self.query_task.get_filled_params()
        command = self.query_task.fill_templates(self.query_task.block["td>"])
        if isinstance(command, YamlBlock):
            sql = command.get("data")
        elif is_left_out(command):
            sql = params.get("query")
        else:
            sql = files.read_file_or_stdin(Path(str(command))).replace("$$", "$")
        return str(self._require_no_template("the query", sql or "", self.query_task.place))

    def _read_sql_or_file(self, name: str, value: object) -> str:
        sql = read_sql_or_file(str(value), key=name)
        if is_left_out(sql):
            raise SettingsError(f"{self.workflow.path}: {name} is blank: give it a value, or leave the line out")
        return str(self._require_no_template(name, sql))

    def _add_sql_files(self, project: NewProject) -> None:
        for each in (project.settings, *project.entries.get("audiences", ())):
            for name in ("query", *WITHHOLDING_LIST_NAMES):
                path = str(each.get(name, "")).strip()
                if path and (sql := self._read_sql_or_file(name, path)) != path:
                    project.files[path] = sql

    def _convert_settings(self, settings: Mapping[Any, Any], params: YamlBlock) -> dict[str, Any]:
        """Return the settings of the new folder, with those that a task of the connector may lack."""
        taken: dict[str, Any] = {"type": "pinterest", "audience_type": "customer_list"}
        block = params.get_block("result_settings")
        for name, value in settings.items():
            setting = EXPORT_SETTINGS.by_name.get(name)
            if setting is None:
                self.left_out_reasons[name] = (
                    f"there is no such setting{build_suggestion_text(name, EXPORT_SETTINGS.by_name)}"
                )
            elif not setting.is_credential:
                taken[name] = self._require_no_template(name, value, block.find_value_place(name))
            elif has_secret_reference(value) and self.task.package_class_name:
                taken[name] = value
            elif not is_left_out(value):
                is_plain = name in _PLAIN_SECRET_KEYS and not has_secret_reference(value)
                self.left_out_reasons[name] = _PLAIN_TEXT_REASON if is_plain else _CREDENTIAL_LEFT_OUT_REASON
        return taken

    def _require_no_template(self, name: str, value: Any, place: FileLine | None = None) -> Any:
        """Return a value, a long id as text. Raises SettingsError for a template."""
        if named := _ANY_TEMPLATE_PATTERN.findall(str(value)):
            path, line = place or self.task.place
            raise SettingsError(
                f"{path}:{line}: {name} contains a template ({', '.join(named)}), whose value only a run knows: write "
                "the value itself. In SQL, TD_SCHEDULED_TIME() and TD_INTERVAL have the session's time"
            )
        return str(value) if isinstance(value, int) and may_have_lost_digits(value) else value

    def _note_left_out_keys(self, params: YamlBlock) -> None:
        variables = [key for key in self.task.exported if key not in ("td", *_CONVERTED_KEYS)]
        self.left_out_reasons |= dict.fromkeys(variables, "a variable, filled in where the task names it")
        keys = {f"td.{key}": key for key in params.get_block("td") if key not in ("database", *_QUERY_JOB_OPTIONS)}
        for task in self.workflow.tasks:
            if task in (self.task, self.query_task) or task.key_path == self.task.key_path[: len(task.key_path)]:
                if task.operator not in ("", "td", "py"):
                    raise SettingsError(
                        f"{task.place[0]}:{task.place[1]}: {task.operator}> decides whether, or how often, "
                        f"{self.task.full_name} runs, and the new workflow always runs it once: take the task out of "
                        f"it in a copy of the file, and write {task.operator}> into the new workflow"
                    )
                read = {*_CONVERTED_KEYS, f"{task.operator}>"}
                own = [key for key in task.block if key not in read and not key.startswith("+")]
                keys |= {f"{task.full_name} {key}".strip(): key for key in own}
            elif task.operator and "_error" not in task.key_path:
                self.left_out_reasons[task.full_name] = (
                    "another task: write it into the new workflow if you still need it"
                )
        for name, key in keys.items():
            self.left_out_reasons[name] = _LEFT_OUT_REASONS.get(key, _DEFAULT_LEFT_OUT_ADVICE)

    def _print_report(self, project: NewProject, entry_name: str) -> None:
        path = self.workflow.path
        taken = {"query": project.query, "schedule": project.schedule, **project.td, **project.parameters}
        taken |= {**project.exported, **project.environment, **project.settings, **project.entries}
        names = ", ".join(name for name, value in taken.items() if value != "")
        screen.print_note(f"{path}, {self.task.full_name}: the new folder has its timezone, {names}")
        for reason in dict.fromkeys(self.left_out_reasons.values()):
            left_out = ", ".join(name for name, each in self.left_out_reasons.items() if each == reason)
            screen.print_note(f"  left out: {left_out}: {reason}")
        ended = f"the entry {entry_name}" if entry_name else self.task.full_name
        screen.print_note(f"  Once the new workflow runs, end {ended} of {path}: both would do the same")
