"""A new project folder: the shipped workflow and its files, with a user's answers as settings."""

import contextlib
import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, takewhile
from pathlib import Path
from textwrap import indent
from typing import Any

import click

from td_pinterest_op.audiences.actions import EXPORT_SETTINGS, Add, Clear, Create, Delete, Mirror, Remove, Replace
from td_pinterest_op.cli import screen
from td_pinterest_op.cli.bundled_code import collect_code, replace_code
from td_pinterest_op.cli.lint.workflow_check import check_workflow
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.cli.secret_target import build_authorize_command
from td_pinterest_op.cli.shipped_files import read_workflow_files, write_missing_files
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.secret import replace_in_texts
from td_pinterest_op.settings.table import ActionSpec
from td_pinterest_op.settings.types import TEXT_TYPE, WrongValueError, has_secret_reference

EXPORT_ACTIONS: Mapping[str, ActionSpec] = {
    "add": Add.action,
    "remove": Remove.action,
    "create": Create.action,
    "replace": Replace.action,
    "mirror": Mirror.action,
    "clear": Clear.action,
    "delete": Delete.action,
}
"""The actions of pinterest_export.dig, by short name."""
NON_EXPORT_INIT_JOBS = ("audiences", "activation", "erasure", "status", "lift")
"""The other workflows, each with a file of settings to fill in."""
LIST_QUERY_FILES = {"suppress": "queries/suppressed.sql", "consent": "queries/consented.sql"}
# Where a folder is laid out. digdag leaves out what begins with a dot.
_UNFINISHED_FOLDER_NAME = ".unfinished_init"
_EXPORT_FILE_COMMENT = (
    "# The settings of pinterest_export.dig. Quote every id: digdag reads a number of more than 16 digits inexactly.\n"
)
_SCHEDULE_COMMENT_PATTERN = re.compile(r"^# To run it .*\n(?:# .*\n)+", re.MULTILINE)
_DATABASE_LINE = "  database: ${td.database}\n"


@dataclass(kw_only=True)
class NewProject:
    """What a new project folder is made from."""

    job: str  # a key of EXPORT_ACTIONS, or one of NON_EXPORT_INIT_JOBS
    # In the order of the file; an export's suppress and consent are SQL. Empty: the file is yet to be filled in.
    settings: dict[str, Any] = field(default_factory=dict)
    query: str = ""  # SQL
    td: dict[str, str] = field(default_factory=dict)  # `database`, and perhaps `engine`
    environment: dict[str, str] = field(default_factory=dict)  # variables of the tasks, such as the region
    alert: str = ""  # `mail:ADDRESS`, `slack`, or "" for none
    schedule: str = ""  # lines such as `daily>: 07:00:00`; "" for none
    timezone: str = "UTC"
    parameters: dict[str, Any] = field(default_factory=dict)  # more parameters of the task, such as `priority`
    exported: dict[str, Any] = field(default_factory=dict)  # more variables of the workflow: `docker`, `py`
    entries: dict[str, Any] = field(default_factory=dict)  # beside `settings`: `audiences`, `at_once`, `later_runs`
    files: dict[str, str] = field(default_factory=dict)  # the SQL files of these jobs, by path
    name: str = ""  # the name of a further workflow and its files

    @property
    def workflow_file(self) -> str:
        """The name of the .dig file."""
        return f"{self.name or self.shipped_workflow_name}.dig"

    @property
    def shipped_workflow_name(self) -> str:
        """The name of the shipped workflow."""
        return f"pinterest_{'export' if self.job in EXPORT_ACTIONS else self.job}"

    @property
    def settings_path(self) -> str:
        """The path of the shipped file of settings."""
        return f"config/{self.shipped_workflow_name.removeprefix('pinterest_')}.yml"

    @property
    def audience_id(self) -> str | None:
        """The id of the audience in the settings, or None if they have none."""
        return next((value for name, value in self.settings.items() if name.startswith("audience_id")), None)


def is_writable_audience_name(name: str) -> bool:
    """Whether settings can contain an audience's name: one line without a template."""
    with contextlib.suppress(WrongValueError):
        TEXT_TYPE.parse(name)
        return "${" not in name
    return False


def require_new_folder(folder: Path) -> None:
    """Raise SettingsError unless a folder is missing, or has only names that begin with a dot."""
    if folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise SettingsError(
            f"{folder} is not empty: name a new folder. To update the operator in a project folder, run `td-pinterest "
            f"bundle {shlex.quote(str(folder))} --update`"
        )


def create_and_check_folder(folder: Path, projects: Sequence[NewProject], common: CommonOptions) -> bool:
    """Make a project folder with a workflow for each project, and check them. Return whether they have no error.

    All is laid out in a hidden folder, and then renamed: the next call removes what an interruption has left. Raises
    SettingsError if the folder is not new, OSError if it cannot be written.
    """
    require_new_folder(folder)
    files: dict[str, str] = {}
    for project in projects:
        _add_files(files, render_project_files(project), project)
    code = collect_code(with_phone_numbers="phone" in "".join(files.values()).lower())
    unfinished = folder / _UNFINISHED_FOLDER_NAME
    shutil.rmtree(unfinished, ignore_errors=True)
    write_missing_files(unfinished, files)
    replace_code(unfinished, code)
    for path in unfinished.iterdir():
        path.rename(folder / path.name)
    unfinished.rmdir()
    # The settings of other jobs are yet to be filled in.
    checked = [check_workflow(folder / each.workflow_file).findings for each in projects if each.settings]
    findings = list(dict.fromkeys(chain(*checked)))
    for finding in findings:
        screen.print_note(str(finding))
    is_right = not any(finding.level == "error" for finding in findings)
    text = " and everything that it needs" if is_right else ", but it would fail: correct what is named above"
    common.print_note(f"{folder} contains {', '.join(each.workflow_file for each in projects)}{text}")
    return is_right


def _add_files(files: dict[str, str], new: Mapping[str, str], project: NewProject) -> None:
    """Add the `new` files of a project to `files`. Raises SettingsError if a name has another text there."""
    for name, text in new.items():
        if files.setdefault(name, text) != text:
            raise SettingsError(
                f"{project.workflow_file} needs another {name} than a workflow before it: give it its own folder"
            )


def render_project_files(project: NewProject) -> dict[str, str]:
    """Return the texts of a project's files, by path. Raises SettingsError for a value with a template."""
    shipped = f"{project.shipped_workflow_name}.dig"
    files = dict(read_workflow_files([shipped]))
    files[shipped] = _render_workflow(files[shipped], project)
    td = indent(render_yaml_mapping(project.td), "  ")
    files["config/workflow.yml"] = re.sub(r"(?<=\ntd:\n)(?:  .*\n)+", lambda _: td, files["config/workflow.yml"])
    files["config/workflow.yml"] += render_yaml_mapping(project.exported)
    files["config/workflow.yml"] = _enable_alert(files["config/workflow.yml"], project.alert)
    environment = files["config/environment.yml"]
    for name in project.environment:
        environment = re.sub(rf"^{name}: .*\n", "", environment, flags=re.MULTILINE)
    files["config/environment.yml"] = environment + render_yaml_mapping(project.environment)
    action = EXPORT_ACTIONS.get(project.job)
    if action or project.settings:
        files = {name: text for name, text in files.items() if not name.startswith("queries/")} | project.files
    if action:
        settings = dict(project.settings)
        for name, path in LIST_QUERY_FILES.items():
            if name in settings:
                files[path] = f"{settings[name].strip()}\n"
                settings[name] = path
        if action.reads_rows:
            files["queries/people.sql"] = f"{project.query.strip()}\n"
        files["config/export.yml"] = _EXPORT_FILE_COMMENT + _render_settings(settings)
        if project.audience_id is not None and "expected_audience_name" not in settings:
            files["config/export.yml"] += (
                "# expected_audience_name: left out, since the name is not known or cannot be written here\n"
            )
    elif project.settings:
        head = "".join(takewhile(lambda line: line[0] == "#", files[project.settings_path].splitlines(keepends=True)))
        others = dict(project.entries)
        entries = others.pop("audiences", ())
        listed = "audiences:\n" if entries else ""
        for entry in entries:
            listed += f"  - {indent(render_yaml_mapping(entry), '    ').strip()}\n"
        settings_text = indent(_render_settings(project.settings), "  ")
        files[project.settings_path] = f"{head}{listed}{render_yaml_mapping(others)}result_settings:\n{settings_text}"
    return _rename_project_files(files, project) if project.name else files


def _rename_project_files(files: Mapping[str, str], project: NewProject) -> dict[str, str]:
    name = project.name
    names = {f"{project.shipped_workflow_name}.dig": project.workflow_file, project.settings_path: f"config/{name}.yml"}
    names |= {path: f"queries/{name}_{Path(path).name}" for path in files if path.endswith(".sql")}
    renamed: dict[str, str] = {}
    for path, text in files.items():
        if not path.endswith(".sql"):
            for old, new in names.items():
                text = text.replace(old, new)
        _add_files(renamed, {names.get(path, path): text}, project)
    return renamed


def _render_workflow(text: str, project: NewProject) -> str:
    text = text.replace("timezone: UTC", f"timezone: {project.timezone}")
    text = text.replace(_DATABASE_LINE, _DATABASE_LINE + indent(render_yaml_mapping(project.parameters), "  "))
    if project.schedule:
        schedule = f"schedule:\n{indent(project.schedule, '  ')}\n"
        text = _SCHEDULE_COMMENT_PATTERN.sub(lambda _: schedule, text)
    return text


def _enable_alert(text: str, alert: str) -> str:
    """Return config/workflow.yml with an alert."""
    kind, _, address = alert.partition(":")
    if kind == "mail":
        return re.sub(r"^  to: .*", lambda _: f"  to: [{format_yaml_value(address)}]", text, flags=re.MULTILINE)
    return text.replace("slack: false", "slack: true") if kind == "slack" else text


def _render_settings(settings: Mapping[str, Any]) -> str:
    text = ""
    for name, value in settings.items():
        comment = EXPORT_SETTINGS.by_name[name].comment
        text += f"{name}: {_render_yaml_value(value)}{comment and f'    # {comment}'}\n"
    return text


def render_yaml_mapping(values: Mapping[str, Any]) -> str:
    """Return a mapping as YAML, one key a line."""
    return "".join(f"{name}: {_render_yaml_value(value)}\n" for name, value in values.items())


def _render_yaml_value(value: Any) -> str:
    return str(value) if has_secret_reference(value) else format_yaml_value(value)


def format_yaml_value(value: Any) -> str:
    """Return a value as YAML on one line, with each `$` doubled, which digdag halves in values, and not in keys.

    Raises SettingsError for a value with a template.
    """
    if "${" in str(value):
        raise SettingsError("an answer contains a template, which digdag would fill in: leave it out")
    text = json.dumps(replace_in_texts(value, "$", "$$"), ensure_ascii=False)
    # YAML allows only some of the other characters.
    return "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in text)


def print_next_commands(folder: Path, project: NewProject, common: CommonOptions) -> None:
    """Print the commands with which to run, push and observe a new project's workflow."""
    if common.quiet:
        return
    place = shlex.quote(str(folder))
    name = shlex.quote(folder.resolve().name)
    run = f"(cd {place} && digdag run {project.workflow_file} --rerun -p py.python={shlex.quote(sys.executable)})"
    if not project.settings:
        run += "   # once you have filled in config/ and queries/"
    server = os.environ.get("DIGDAG_ENDPOINT")
    if server and "DIGDAG_ENDPOINT" not in project.environment:
        common.print_note(
            f"To run it on {server}, uncomment DIGDAG_ENDPOINT in config/environment.yml, with this address: a refresh "
            "token that Pinterest renews is stored there"
        )
    push = f"td-pinterest push {name} {place}{' --with digdag' if server else ''}"
    common.print_note("`digdag run` reads the local digdag secrets, where `td-pinterest authorize` stores them. Next:")
    is_kept = project.audience_id and project.job != "delete"
    for command in (
        run,
        f"{push}   # then `{build_authorize_command(folder.resolve().name, server)}`",
        f"td-pinterest {f'audience {project.audience_id}' if is_kept else 'audiences'}   # the day after",
    ):
        # To be copied, and therefore not wrapped.
        click.echo(f"  {screen.replace_program_name(command)}", err=True)
