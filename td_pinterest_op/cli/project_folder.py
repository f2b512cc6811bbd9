"""What `td-pinterest init` writes: the shipped workflow as it is, and the answers as values in `config/*.yml`."""

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import yaml

from td_pinterest_op.audiences.actions import EXPORT_SETTINGS, Add, Clear, Create, Delete, Mirror, Remove, Replace
from td_pinterest_op.cli import screen
from td_pinterest_op.cli.bundled_code import IN_CHECKOUT, PACKAGE_PARENT, SHIPPED_WORKFLOWS_FOLDER
from td_pinterest_op.cli.lint.workflow_check import check_workflow
from td_pinterest_op.cli.new_files import remove_unfinished_files, write_new_files
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.cli.secret_target import build_authorize_command
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.secret import replace_in_texts
from td_pinterest_op.settings.table import ActionSpec
from td_pinterest_op.settings.types import TEXT_TYPE, WrongValueError

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
LIST_QUERY_FILES = {"suppress": "queries/suppressed.sql", "consent": "queries/consented.sql"}
PEOPLE_QUERY_FILE = "queries/people.sql"
WORKFLOW_FILE = "config/workflow.yml"
ENVIRONMENT_FILE = "config/environment.yml"
_FAILED_FILE = "config/failed.yml"


@dataclass(frozen=True, kw_only=True)
class InitJob:
    """A shipped workflow."""

    name: str
    queries: tuple[str, ...] = ()  # the shipped queries, to fill in

    @property
    def workflow_file(self) -> str:
        """The name of the .dig file."""
        return f"pinterest_{self.name}.dig"

    @property
    def settings_file(self) -> str:
        """The path of the file of settings."""
        return f"config/{self.name}.yml"


INIT_JOBS: Mapping[str, InitJob] = {
    job.name: job
    for job in (
        InitJob(name="export"),
        InitJob(name="audiences", queries=(PEOPLE_QUERY_FILE,)),
        InitJob(name="activation", queries=("queries/activation.sql",)),
        InitJob(name="erasure", queries=("queries/erasure.sql",)),
        InitJob(name="status"),
        InitJob(name="lift", queries=("queries/control.sql", "queries/lift.sql")),
    )
}
"""What `init` can make, by name."""


@dataclass(kw_only=True)
class NewProject:
    """The answers."""

    job: InitJob
    # Of an export, in the order of the file, with suppress and consent as SQL. Of a list, what all entries share.
    settings: dict[str, Any] = field(default_factory=dict)
    entries: list[dict[str, Any]] = field(default_factory=list)  # of a list of audiences
    queries: dict[str, str] = field(default_factory=dict)  # SQL, by path
    td: dict[str, str] = field(default_factory=dict)  # `database`, and perhaps `engine`
    region: str = ""  # the address of Treasure Data's API; "" for the US
    alert: str = ""  # `mail:ADDRESS`, `slack`, or "" for none
    schedule: dict[str, Any] = field(default_factory=dict)
    timezone: str = "UTC"

    @property
    def action(self) -> ActionSpec | None:
        """The action of an export."""
        name = self.settings.get("action")
        return next((each for each in EXPORT_ACTIONS.values() if each.name == name), None)

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


def require_folder_or_nothing(folder: Path) -> None:
    """Raise SettingsError if a path is that of something other than a folder, OSError if it cannot be one."""
    with contextlib.suppress(FileNotFoundError):
        folder.lstat()
        if not folder.is_dir():
            raise SettingsError(f"{folder} is no folder: name another")


def require_room_for_job(folder: Path, job: InitJob) -> None:
    """Raise SettingsError if a folder has files of a job already. Removes what an interrupted `init` left there."""
    remove_unfinished_files(folder)
    require_missing(folder, [job.settings_file, job.workflow_file])


def require_missing(folder: Path, names: Iterable[str]) -> None:
    """Raise SettingsError if a folder has a file of one of these names."""
    if existing := [name for name in names if os.path.lexists(folder / name)]:
        raise SettingsError(
            f"{folder} has {', '.join(existing)} already, and no file that exists is changed: name another folder, or "
            "move it away"
        )


def create_and_check_project(folder: Path, project: NewProject, common: CommonOptions) -> bool:
    """Write a project's files to a folder, and check its workflow. Return whether it has no error.

    Shared files that exist are kept. Raises SettingsError if a file of the job itself exists, OSError if the folder
    cannot be written.
    """
    shared = _render_shared_files(project)
    own = _render_own_files(project)
    kept = [name for name in shared if os.path.lexists(folder / name)]
    require_missing(folder, own)
    missing = {name: content for name, content in shared.items() if name not in kept}
    try:
        # The workflow comes last: without it, the other files do nothing.
        write_new_files(folder, {**missing, **own})
    except FileExistsError as error:
        raise SettingsError(f"{error.filename2 or error.filename} exists already: nothing was written") from None
    findings = check_workflow(folder / project.job.workflow_file).findings if project.settings else []
    for finding in findings:
        screen.print_note(str(finding))
    is_right = not any(finding.level == "error" for finding in findings)
    text = " and all files that it needs" if is_right else ", but a run would fail: correct what is named above"
    common.print_note(f"{folder} contains {project.job.workflow_file}{text}")
    if kept:
        common.print_note(f"Kept as they are: {', '.join(kept)}")
    return is_right


def _render_shared_files(project: NewProject) -> dict[str, bytes]:
    files = {name: _read_shipped_file(name) for name in (_FAILED_FILE, ENVIRONMENT_FILE)}
    if project.region:
        files[ENVIRONMENT_FILE] += dump_yaml({"TD_API_SERVER": project.region}).encode()
    if server := os.environ.get("DIGDAG_ENDPOINT"):  # there the operator stores a token that Pinterest renews
        files[ENVIRONMENT_FILE] += dump_yaml({"DIGDAG_ENDPOINT": server}).encode()
    kind, _, address = project.alert.partition(":")
    workflow = {**yaml.safe_load(_read_shipped_file(WORKFLOW_FILE)), "td": project.td}
    if kind == "mail":
        workflow["mail"] = {"to": [address]}
    elif kind == "slack":
        workflow["slack"] = True
    files[WORKFLOW_FILE] = _render_with_shipped_comments(WORKFLOW_FILE, workflow)
    for name in () if project.settings else project.job.queries:
        files[name] = _read_shipped_file(name)
    return files


def _render_own_files(project: NewProject) -> dict[str, bytes]:
    files = {name: f"{sql.strip()}\n".encode() for name, sql in project.queries.items()}
    settings = dict(project.settings)
    if project.entries:
        values = {"audiences": project.entries, "at_once": 4, "result_settings": settings}
        files[project.job.settings_file] = _render_with_shipped_comments(project.job.settings_file, values, tail=False)
    elif settings:
        for name, path in LIST_QUERY_FILES.items():
            if name in settings:
                files[path] = f"{settings[name].strip()}\n".encode()
                settings[name] = path
        text = _render_with_shipped_comments(project.job.settings_file, settings, tail=False)
        if project.audience_id is not None and "expected_audience_name" not in settings:
            text += b"# expected_audience_name: left out, since the name is not known or cannot be written here\n"
        files[project.job.settings_file] = text
    else:
        files[project.job.settings_file] = _read_shipped_file(project.job.settings_file)
    files[project.job.workflow_file] = _render_workflow(project)
    return files


def _read_shipped_file(name: str) -> bytes:
    return (SHIPPED_WORKFLOWS_FOLDER / name).read_bytes()


def _render_workflow(project: NewProject) -> bytes:
    """Return the shipped workflow, with a schedule in place of the block between its first comment and `_export`."""
    shipped = _read_shipped_file(project.job.workflow_file)
    if not project.schedule:
        return shipped
    head, _, _ = shipped.partition(b"\ntimezone: ")
    _, line, rest = shipped.partition(b"\n_export:\n")
    block = dump_yaml({"timezone": project.timezone}) + "\n" + dump_yaml({"schedule": project.schedule})
    return head + b"\n" + block.encode() + line + rest


def _render_with_shipped_comments(name: str, values: Mapping[str, Any], *, tail: bool = True) -> bytes:
    """Return a file of values: with the first comments of the shipped one and, if wanted, with its last ones."""
    lines = _read_shipped_file(name).decode().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    last = next(number for number, line in enumerate(reversed(lines)) if not line.startswith("#"))
    text = "".join(lines[:first])
    comments = dict(re.findall(r"^(\w+): .*?    # (.+)$", "".join(lines), re.MULTILINE))
    for key, value in values.items():
        if "${" in str(value):
            raise SettingsError("an answer contains a template, which digdag would fill in: leave it out")
        dumped = dump_yaml({key: replace_in_texts(value, "$", "$$")})
        setting = EXPORT_SETTINGS.by_name.get(key)
        comment = comments.get(key, setting.comment if setting else "")
        if comment and dumped.count("\n") == 1:
            dumped = f"{dumped.rstrip()}    # {comment}\n"
        text += dumped
    return (text + ("".join(lines[len(lines) - last :]) if tail else "")).encode()


class _Dumper(yaml.SafeDumper):
    """Puts every text in quotes, so that digdag reads none as a number, a time or a constant; keys stay plain."""

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        node: yaml.MappingNode = super().represent_mapping(tag, mapping, flow_style)
        for _, value in node.value:
            for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(each, yaml.ScalarNode) and each.tag == "tag:yaml.org,2002:str":
                    each.style = '"'
        return node

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's parameter
        """Return True: digdag resolves aliases, but people read the file."""
        return True


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Return a mapping as YAML."""
    return yaml.dump(
        dict(values), Dumper=_Dumper, default_flow_style=False, sort_keys=False, allow_unicode=True, width=10**9
    )


def print_next_commands(folder: Path, project: NewProject, common: CommonOptions) -> None:
    """Print the commands with which to run, push and observe a new workflow."""
    if common.quiet:
        return
    place = shlex.quote(str(folder))
    name = shlex.quote(folder.resolve().name)
    # A checkout's environment has the libraries, but not the operator.
    path = f"PYTHONPATH={shlex.quote(str(PACKAGE_PARENT))} " if IN_CHECKOUT else ""
    python = shlex.quote(sys.executable)
    run = f"(cd {place} && {path}digdag run {project.job.workflow_file} --rerun -p py.python={python})"
    if not project.settings:
        run += "   # once you have filled in config/ and queries/"
    server = os.environ.get("DIGDAG_ENDPOINT")
    push = f"td-pinterest push {name} {place}{' --with digdag' if server else ''}"
    common.print_note("`digdag run` reads the local digdag secrets, where `td-pinterest authorize` stores them. Next:")
    is_kept = project.audience_id and project.action is not Delete.action
    for command in (
        run,
        f"{push}   # then `{build_authorize_command(folder.resolve().name, server)}`",
        f"td-pinterest {f'audience {project.audience_id}' if is_kept else 'audiences'}   # the day after",
    ):
        # To be copied, and therefore not wrapped.
        click.echo(f"  {screen.replace_program_name(command)}", err=True)
