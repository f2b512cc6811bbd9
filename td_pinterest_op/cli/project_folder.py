"""A project folder for one job: laid out by the bundle, then filled in with ids, queries and alerts.

A file that somebody has changed since it was laid out stays unchanged, and so does a value that is no longer the
template's.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click

from td_pinterest_op.audiences.actions import Add, Clear, Create, Delete, Mirror, Remove, Replace, action_of
from td_pinterest_op.cli import screen
from td_pinterest_op.cli.check import check_file
from td_pinterest_op.cli.lint import dig_file
from td_pinterest_op.cli.lint.settings import settings_of_exports
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.errors import SettingsError, WorkflowError
from td_pinterest_op.redaction.format import sanitize
from td_pinterest_op.runtime import atomic_file
from td_pinterest_op.settings.table import CREDENTIALS

ROOT = Path(__file__).parent.parent.parent
TEMPLATES = ROOT / "workflows"
_MAXIMUM_SECONDS = 300
# Settings that the templates have, or that are filled in elsewhere.
_FILLED = (
    "type",
    "ad_account_id",
    "audience_id",
    "audience_name",
    "audience_type",
    "action",
    "dry_run",
    "expected_aud",
)
_LINE = re.compile(
    r"""(?P<indent>\s*)(?P<key>[\w.]+):(?P<value>\s+("[^"]*"|'[^']*'|[^#\n]*?))?(?P<end>\s*(?:\s#.*)?)"""
)
_TASK = re.compile(r"^( +)py>: td_pinterest_op\.(?:export|activation|many\.Many\.export)\b.*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a workflow does, and what it needs to know.

    `ids`: the keys of `config/pinterest.yml` for the audience. `query`: the file of the people; None for a job without.
    `action`: that of the settings, None for a workflow that is no single export.
    """

    workflow: str
    description: str
    action: str | None = None
    ids: tuple[str, ...] = ()
    query: str | None = None
    takes_lists: bool = False
    creates: bool = False

    @property
    def is_export(self) -> bool:
        """Whether its exports are known before it runs."""
        return bool(self.action) or self is JOBS["many"]


_AUDIENCE = ("audience_id",)
JOBS: Mapping[str, Job] = {
    "add": Job(
        workflow="pinterest_export.dig",
        description="add people to an audience",
        action=Add.action.name,
        ids=_AUDIENCE,
        query="people.sql",
        takes_lists=True,
    ),
    "remove": Job(
        workflow="pinterest_remove.dig",
        description="take people out of an audience",
        action=Remove.action.name,
        ids=("remove", "audience_id"),
        query="remove_people.sql",
    ),
    "create": Job(
        workflow="pinterest_create.dig",
        description="create an audience",
        action=Create.action.name,
        query="people.sql",
        takes_lists=True,
        creates=True,
    ),
    "replace": Job(
        workflow="pinterest_replace.dig",
        description="replace the people of an audience",
        action=Replace.action.name,
        ids=("replace", "audience_id"),
        query="replace_people.sql",
        takes_lists=True,
    ),
    "mirror": Job(
        workflow="pinterest_mirror.dig",
        description="keep an audience the same as a query, sending only changes",
        action=Mirror.action.name,
        ids=("mirror", "audience_id"),
        query="people.sql",
        takes_lists=True,
    ),
    "clear": Job(
        workflow="pinterest_clear.dig",
        description="take everybody out of an audience",
        action=Clear.action.name,
        ids=("clear", "audience_id"),
    ),
    "delete": Job(
        workflow="pinterest_delete.dig",
        description="delete an audience",
        action=Delete.action.name,
        ids=("delete", "audience_id"),
    ),
    "many": Job(
        workflow="pinterest_many.dig",
        description="export to several audiences",
        query="people.sql",
        takes_lists=True,
    ),
    "activation": Job(
        workflow="pinterest_activation.dig",
        description="export the activations of Audience Studio",
        takes_lists=True,
    ),
    "erase": Job(
        workflow="pinterest_erase.dig",
        description="remove opt-outs from every customer list",
        query="erase.sql",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a folder is made from. Queries are SQL. `audiences`: ids and names; several for the job `many` alone.

    `settings`: further settings of the export. `alert`: `mail:ADDRESS`, `slack`, or "" for none.
    """

    job: Job
    ad_account_id: str
    audiences: Sequence[tuple[str, str]] = ()
    new_name: str = ""
    database: str = ""
    query: str = ""
    suppress: str = ""
    consent: str = ""
    alert: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)


def answers_of(settings: Mapping[str, object], params: Mapping[str, object]) -> Answers:
    """Return what makes a folder of an export that was run by hand. Raises click.UsageError for what cannot be one."""
    action = action_of(settings)
    job = next((each for each in JOBS.values() if action and each.action == action.name), None)
    if action is None or job is None:
        raise click.UsageError("--write: no shipped workflow has the action of the settings")
    if job.query and "query" not in params:
        raise click.UsageError("--write needs --query: a workflow reads its people from a query")
    ids = [str(value) for name, value in settings.items() if name.startswith("audience_id") and value]
    known = {"type", "ad_account_id", "audience_type", "action", "audience_name", "dry_run", "expected_audience_name"}
    others = {
        name: value for name, value in settings.items() if name not in known and not name.startswith("audience_id")
    }
    if secret := next((key.name for key in CREDENTIALS if key.name in others), None):
        raise click.UsageError(f"--write: {secret} is a secret: take it out of the settings, `authorize` stores it")
    return Answers(
        job=job,
        ad_account_id=str(settings.get("ad_account_id") or ""),
        audiences=[(each, str(settings.get("expected_audience_name") or "")) for each in ids[:1]],
        new_name=str(settings.get("audience_name") or ""),
        settings=others,
        **{name: str(params.get(name) or "") for name in ("database", "query", "suppress", "consent")},
    )


def make_folder(folder: Path, answers: Answers, given: CommonOptions) -> bool:
    """Write a folder and check it; return whether nothing is wrong with it."""
    if kept := write(folder, answers):
        names = ", ".join(kept)
        given.note(f"kept, since they were filled in or changed: {names}. What you answered now is not in them")
    wrong = check_file(folder / answers.job.workflow)
    for finding in wrong:
        screen.note(str(finding))
    given.note(f"{folder} has {answers.job.workflow} and what it needs")
    return not any(finding.level == "error" for finding in wrong)


def show_next_commands(folder: Path, answers: Answers, given: CommonOptions) -> None:
    """Show what to run next, a command a line."""
    given.note("Next:")
    for command in () if given.quiet else _next_commands(folder, answers):
        click.echo(f"  {command}", err=True)  # it is there to be copied, and stays one line


def _next_commands(folder: Path, answers: Answers) -> Sequence[str]:
    place, name, scripts = shlex.quote(str(folder)), shlex.quote(folder.resolve().name), _shown(ROOT / "scripts")
    exports = settings_of_exports(dig_file.read(folder / answers.job.workflow))
    ids = [value for each in exports for key, value in each.items() if key.startswith("audience_id") and value]
    once = (
        "   # creates the audience: a second run, of the pushed workflow too, is refused" if answers.job.creates else ""
    )
    return (
        f"(cd {place} && digdag run {answers.job.workflow} --rerun -p py.python={shlex.quote(sys.executable)}){once}",
        f"{scripts}/push {name} {place}   # then `{scripts}/td-pinterest authorize --to td {name}`",
        f"{scripts}/td-pinterest {f'audience {ids[0]}' if len(ids) == 1 else 'audiences'}   # the day after",
    )


def _shown(path: Path) -> str:
    """A path as somebody in this folder would type it."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def write(folder: Path, answers: Answers) -> list[str]:
    """Lay the folder out and fill it in; return the files that stay as somebody changed them.

    Raises WorkflowError where there is no checkout, and what is wrong with the folder.
    """
    bundle, fillings = ROOT / "scripts" / "bundle.py", _fillings(answers)
    if not bundle.is_file():
        raise WorkflowError(
            "`init` needs a checkout of td_pinterest_op, which has the workflows: clone it, run it there"
        )
    # What cannot be filled in is known before anything is written.
    templates = {name: (TEMPLATES / name).read_text(encoding="utf-8") for name in fillings}
    for name, fill in fillings.items():
        fill(templates[name], templates[name])
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, bundle, folder, answers.job.workflow],
        capture_output=True,
        text=True,
        timeout=_MAXIMUM_SECONDS,
        check=False,
    )
    if done.returncode:
        raise WorkflowError(f"the folder {folder} cannot be laid out: {sanitize(done.stderr.strip(), longest=600)}")
    return [name for name, fill in fillings.items() if not _fill(folder / name, templates[name], fill)]


# Returns the text of a file as wanted, from the text that is there and that of the template.
_Fill = Callable[[str, str], str]


def _fill(path: Path, template: str, fill: _Fill) -> bool:
    """Fill a file in; return whether it is as wanted. What somebody has changed stays."""
    # The bundle lays out what the workflow names so far.
    text = path.read_text(encoding="utf-8") if path.exists() else template
    filled = fill(text, template)
    if filled != text or not path.exists():
        atomic_file.replace(path, filled, mode=0o644)
    return _values(filled) >= _values(fill(template, template)) - _values(template)


def _values(text: str) -> set[str]:
    return {line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")}


def _fillings(answers: Answers) -> Mapping[str, _Fill]:
    """Return what fills in each file of the folder."""
    job = answers.job
    fillings: dict[str, _Fill] = {"config/pinterest.yml": lambda text, template: _with_ids(text, template, answers)}
    if answers.database:
        fillings["config/workflow.yml"] = partial(fill_value, keys=("td", "database"), value=answers.database)
    if answers.alert:
        fillings["config/failed.yml"] = _unless_changed(lambda text: _with_alert(text, answers.alert))
    if job is JOBS["many"]:
        fillings["config/audiences.yml"] = _unless_changed(lambda text: _with_entries(text, answers))
    queries = {job.query: answers.query, "suppressed.sql": answers.suppress, "consented.sql": answers.consent}
    for name, sql in queries.items():
        if name and sql:
            fillings[f"queries/{name}"] = _unless_changed(lambda _, sql=sql: f"{sql.strip()}\n")  # type: ignore[misc]
    fillings[job.workflow] = _unless_changed(lambda text: _with_task(text, answers))
    return fillings


def _unless_changed(make: Callable[[str], str]) -> _Fill:
    """Make a file from its template, unless somebody has changed it."""
    return lambda text, template: make(template) if text == template else text


def _with_ids(text: str, template: str, answers: Answers) -> str:
    values: dict[tuple[str, ...], str] = {("ad_account_id",): answers.ad_account_id}
    if answers.new_name and answers.job.creates:
        values["audience_name",] = answers.new_name
    elif answers.job.ids and answers.audiences:
        audience_id, name = answers.audiences[0]
        values[answers.job.ids] = audience_id
        if len(answers.job.ids) > 1 and name:
            values[answers.job.ids[0], "audience_name"] = name
    for keys, value in values.items():
        text = fill_value(text, template, keys=keys, value=value)
    return text


def _with_entries(text: str, answers: Answers) -> str:
    comments = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    entries = [
        f"  - name: {_quoted(name)}\n    ad_account_id: {_quoted(answers.ad_account_id)}\n"
        f"    audience_id: {_quoted(audience_id)}\n    action: {Add.action.name}\n"
        f"    query: queries/people.sql\n"
        for audience_id, name in answers.audiences
    ]
    return f"{comments}audiences:\n{''.join(entries)}"


def _with_task(text: str, answers: Answers) -> str:
    """Add lists and further settings to the task of the workflow."""
    lists = {"suppress": answers.suppress, "consent": answers.consent}
    files = {"suppress": "queries/suppressed.sql", "consent": "queries/consented.sql"}
    lines = [f"{name}: {files[name]}" for name, sql in lists.items() if sql]
    if lines and not re.search(r"^ +database:", text, re.MULTILINE):
        lines.insert(0, "database: ${td.database}")
    # Those that the template shows in comments are there once.
    text = re.sub(r"^ *# *(?:suppress|consent): queries/.*\n", "", text, flags=re.MULTILINE) if lines else text
    text = _TASK.sub(lambda match: match[0] + "".join(f"{match[1]}{line}\n" for line in lines), text, count=1)
    for name, value in answers.settings.items():
        text = _with_setting(text, name, value)
    return text


def _with_setting(text: str, name: str, value: object) -> str:
    written = f"    {name}: {json.dumps(value, ensure_ascii=False)}\n"
    without = re.sub(rf"^    {re.escape(name)}:.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^    audience_type:.*\n", lambda match: match[0] + written, without, count=1, flags=re.MULTILINE)


def _with_alert(text: str, alert: str) -> str:
    """Take the comment signs away from the mail or the Slack form."""
    kind, _, address = alert.partition(":")
    lines = list(_uncommented(text.splitlines(keepends=True), f"# +{kind}:"))
    return "".join(lines).replace("[you@example.com]", json.dumps([address])) if address else "".join(lines)


def _uncommented(lines: Sequence[str], first: str) -> Iterator[str]:
    inside = False
    for line in lines:
        inside = line.strip() == first or (inside and re.match(r"\s*#   ", line) is not None)
        yield re.sub(r"^(\s*)# ", r"\1", line) if inside else line


def fill_value(text: str, template: str, *, keys: Sequence[str], value: str) -> str:
    """Return YAML text with the scalar below nested keys replaced, if it still is that of the template.

    Comments and all other lines stay. Raises SettingsError if there is no such key.
    """
    number, match = _find(text, keys)
    if (match["value"] or "").strip() != (_find(template, keys)[1]["value"] or "").strip():
        return text
    lines = text.splitlines(keepends=True)
    lines[number] = f"{match['indent']}{match['key']}: {_quoted(value)}{match['end']}\n"
    return "".join(lines)


def _find(text: str, keys: Sequence[str]) -> tuple[int, re.Match[str]]:
    path: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines()):
        if match := _LINE.fullmatch(line):
            indent = len(match["indent"])
            path = [*((depth, key) for depth, key in path if depth < indent), (indent, match["key"])]
            if [key for _, key in path] == [*keys]:
                return number, match
    raise SettingsError(f"there is no {'.'.join(keys)} to fill in: lay the folder out again")


def _quoted(value: str) -> str:
    """Return a YAML scalar, in double quotes. Raises SettingsError for a text that digdag would evaluate."""
    if "${" in value:
        raise SettingsError(f"{sanitize(value)} contains a template, which digdag would fill in: leave it out")
    return json.dumps(value, ensure_ascii=False)
