"""A project folder for one job: laid out by the bundle, then filled in with ids, queries, lists and settings.

A file that somebody has changed since it was laid out stays unchanged, and so does a value that is no longer the
template's.
"""

import json
import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import click

from td_pinterest_op.audiences.actions import Add
from td_pinterest_op.cli import screen
from td_pinterest_op.cli.bundle import (
    WORKFLOWS,
    find_needed_files,
    read_workflow_files,
    update_code,
    write_missing_files,
)
from td_pinterest_op.cli.bundled_code import ROOT
from td_pinterest_op.cli.check import check_file
from td_pinterest_op.cli.jobs import ProjectAnswers, is_writable_name
from td_pinterest_op.cli.lint import dig_file
from td_pinterest_op.cli.lint.settings import find_export_settings
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.secret import sanitize
from td_pinterest_op.runtime import atomic_file

# Returns the new text of a file, from its text and that of its template.
Fill = Callable[[str, str], str]

_LINE = re.compile(
    r"""(?P<indent>\s*)(?P<key>[\w.]+):(?P<value>\s+("[^"]*"|'[^']*'|[^#\n]*?))?(?P<end>\s*(?:\s#.*)?)"""
)
_TASK = re.compile(r"^( +)py>: td_pinterest_op\.(?:export|activation|many\.Many\.export)\b.*\n", re.MULTILINE)
_SETTING = re.compile(r"^    (?P<name>\w+): .*\n", re.MULTILINE)
_LISTS = {"suppress": "queries/suppressed.sql", "consent": "queries/consented.sql"}


def create_project_folder(folder: Path, answers: ProjectAnswers, common: CommonOptions) -> bool:
    """Write the project folder that `answers` describes, and check its workflow. Return whether that has no error."""
    if kept := _write_project_folder(folder, answers):
        names = ", ".join(kept)
        common.print_note(
            f"left unchanged, because they were filled in or changed before: {names}. They differ from your new answers"
        )
    findings = check_file(folder / answers.job.workflow)
    for finding in findings:
        screen.print_note(str(finding))
    is_right = not any(finding.level == "error" for finding in findings)
    text = "and everything that it needs" if is_right else "but it would fail: correct what is named above"
    common.print_note(f"{folder} contains {answers.job.workflow}{'' if is_right else ','} {text}")
    return is_right


def print_next_commands(folder: Path, answers: ProjectAnswers, common: CommonOptions) -> None:
    """Print the commands with which to run, push and observe the workflow in a new project folder, one per line."""
    common.print_note("Next:")
    for command in () if common.quiet else _list_next_commands(folder, answers):
        click.echo(f"  {command}", err=True)  # it is there to be copied, and stays one line


def _list_next_commands(folder: Path, answers: ProjectAnswers) -> Sequence[str]:
    """Return the commands that run the workflow of the folder, push the folder, and show the audience."""
    place, name, scripts = (
        shlex.quote(str(folder)),
        shlex.quote(folder.resolve().name),
        _format_shell_path(ROOT / "scripts"),
    )
    exports = [*find_export_settings(dig_file.read_workflow(folder / answers.job.workflow))]
    ids = [value for each in exports for key, value in each.items() if key.startswith("audience_id") and value]
    warning = "   # creates the audience: a second run, of the pushed workflow too, is refused"
    modes = {str(each.get("if_exists") or "fail").strip().lower() for each in exports}
    once = warning if answers.job.creates_audience and modes == {"fail"} else ""
    return (
        f"(cd {place} && digdag run {answers.job.workflow} --rerun -p py.python={shlex.quote(sys.executable)}){once}",
        f"{scripts}/push {name} {place}   # then `{scripts}/td-pinterest authorize --to td {name}`",
        f"{scripts}/td-pinterest {f'audience {ids[0]}' if len(ids) == 1 else 'audiences'}   # the day after",
    )


def _format_shell_path(path: Path) -> str:
    """Return a path, quoted for a shell, and relative if it is in the working folder."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _write_project_folder(folder: Path, answers: ProjectAnswers) -> list[str]:
    """Write a project folder and fill in its files. Return those that differ from the answers, but had been changed.

    Raises WorkflowError if there is no checkout, or for an unsuitable folder.
    """
    fills = _build_fills(answers)
    templates = {name: (WORKFLOWS / name).read_text(encoding="utf-8") for name in fills}
    # An answer that cannot be filled in is an error before anything is written.
    for name, fill in fills.items():
        fill(templates[name], templates[name])
    files = read_workflow_files()
    files = {name: files[name] for name in find_needed_files(files, [answers.job.workflow])}
    update_code(folder, files)
    write_missing_files(folder, files)
    # A workflow and a query from a command contain nothing that the command did not have.
    exact = set() if answers.settings is None else {name for name in fills if not name.startswith("config/")}
    return [
        name
        for name, fill in fills.items()
        if not _fill_file(folder / name, templates[name], fill, is_exact=name in exact)
    ]


def _fill_file(path: Path, template: str, fill: Fill, *, is_exact: bool) -> bool:
    """Fill answers into a file, or create it. Return False if a user's edits kept some of the answers out.

    `fill(text, template)` returns the file's new text. `template`: the file's text before anybody edited it.
    `is_exact`: return False also if the file has more than the answers.
    """
    # The bundle lays out only what the workflow names before it is filled in.
    text = path.read_text(encoding="utf-8") if path.exists() else template
    filled = fill(text, template)
    if filled != text or not path.exists():
        atomic_file.replace_file(path, filled, mode=0o644)
    if is_exact:
        return filled == fill(template, template)
    return _list_code_lines(filled) >= _list_code_lines(fill(template, template)) - _list_code_lines(template)


def _list_code_lines(text: str) -> set[str]:
    """Return the lines of a text as a set, without comments, blank lines and indentation."""
    return {line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")}


def _build_fills(answers: ProjectAnswers) -> Mapping[str, Fill]:
    """Return the functions that fill the answers into the project's files, by the path of the file."""
    job = answers.job
    fills: dict[str, Fill] = {"config/pinterest.yml": partial(_fill_ids, answers=answers)}
    if answers.database:
        fills["config/workflow.yml"] = partial(_fill_value, keys=("td", "database"), value=answers.database)
    if answers.alert:
        fills["config/failed.yml"] = _fill_unless_changed(partial(_fill_alert, alert=answers.alert))
    if job.has_several_audiences:
        fills["config/audiences.yml"] = _fill_unless_changed(partial(_fill_audience_list, answers=answers))
    queries = {f"queries/{job.query}": answers.query} if job.query else {}
    queries |= {path: getattr(answers, name) for name, path in _LISTS.items()}
    for path, sql in queries.items():
        if sql:
            fills[path] = partial(_fill_query, sql=sql)
    fills[job.workflow] = _fill_unless_changed(partial(_fill_task, answers=answers))
    return fills


def _fill_unless_changed(make: Callable[[str], str]) -> Fill:
    """Return a function that fills in a template with `make`, but leaves a file unchanged that a user has edited."""
    return lambda text, template: make(template) if text == template else text


def _fill_query(text: str, template: str, *, sql: str) -> str:
    """Return the new text of a query file: `sql`, or the unchanged text if a user has edited the file."""
    return f"{sql.strip()}\n" if text == template else text


def _fill_ids(text: str, template: str, *, answers: ProjectAnswers) -> str:
    """Return config/pinterest.yml's `text` with ids and names from a user's answers. `template`: the unedited text."""
    keys = answers.job.ids
    values: dict[tuple[str, ...], str] = {("ad_account_id",): answers.ad_account_id}
    if answers.new_name and answers.job.creates_audience:
        values["audience_name",] = answers.new_name
    elif keys and answers.audiences:
        values[keys], name = answers.audiences[0]
        if answers.job.checks_name and (name or answers.settings is not None):
            values[keys[0], "audience_name"] = name
    for key, value in values.items():
        text = _fill_value(text, template, keys=key, value=value)
    return text


def _fill_audience_list(template: str, *, answers: ProjectAnswers) -> str:
    """Return the text of config/audiences.yml with an entry for each audience in the answers."""
    comments = "".join(line for line in template.splitlines(keepends=True) if line.startswith("#"))
    counts = Counter(name for _, name in answers.audiences)
    entries = []
    for audience_id, name in answers.audiences:
        is_good = is_writable_name(name) and counts[name] == 1
        entries.append(
            f"  - name: {_quote_yaml(name if is_good else f'audience {audience_id}')}\n"
            f"    ad_account_id: {_quote_yaml(answers.ad_account_id)}\n"
            f"    audience_id: {_quote_yaml(audience_id)}\n    action: {Add.action.name}\n"
            f"    query: queries/people.sql\n"
        )
    return f"{comments}audiences:\n{''.join(entries)}"


def _fill_task(template: str, *, answers: ProjectAnswers) -> str:
    """Return the workflow's text with the opt-out list, the consent list and other settings added to its task."""
    text, lines = template, [f"{name}: {path}" for name, path in _LISTS.items() if getattr(answers, name)]
    if lines:
        # The template shows them in comments.
        text = re.sub(r"^ *# *(?:suppress|consent): queries/.*\n", "", text, flags=re.MULTILINE)
    if answers.settings is not None:
        # As the command did: the export issues the query, and has no setting that the command had not.
        text, is_moved = re.subn(r"^\+query:\n  td>:.*\n\n", "", text, flags=re.MULTILINE)
        lines = [f"query: queries/{answers.job.query}"] * is_moved + lines
        lines += [f"engine: {_quote_yaml(answers.engine)}"] * bool(answers.engine)
        text = _fill_settings(text, answers.settings, answers)
    if lines and not re.search(r"^ +database:", text, re.MULTILINE):
        lines.insert(0, "database: ${td.database}")
    return _TASK.sub(lambda match: match[0] + "".join(f"{match[1]}{line}\n" for line in lines), text, count=1)


def _fill_settings(text: str, settings: Mapping[str, object], answers: ProjectAnswers) -> str:
    """Return the workflow's text with `settings` in `result_settings`, in place of the template's own values."""
    kept = {"type", "ad_account_id", "audience_type", "action", "audience_name", "history"} - settings.keys()
    if any(name for _, name in answers.audiences):
        kept.add("expected_audience_name")
    if answers.audiences and answers.job.action:
        kept.add(str(answers.job.action.audience_id))
    text = _SETTING.sub(lambda match: match[0] if match["name"] in kept else "", text)
    lines = "".join(f"    {name}: {_quote_yaml(value)}\n" for name, value in settings.items())
    return re.sub(r"^    audience_type:.*\n", lambda match: match[0] + lines, text, count=1, flags=re.MULTILINE)


def _fill_alert(template: str, *, alert: str) -> str:
    """Return the text of config/failed.yml with the task for a mail or Slack alert uncommented."""
    kind, _, address = alert.partition(":")
    text = "".join(_uncomment_block(template.splitlines(keepends=True), f"# +{kind}:"))
    return text.replace("[you@example.com]", _quote_yaml([address])) if address else text


def _uncomment_block(lines: Sequence[str], first: str) -> Iterator[str]:
    """Yield the lines, with the commented-out block that begins with the line `first` uncommented."""
    inside = False
    for line in lines:
        inside = line.strip() == first or (inside and re.match(r"\s*#   ", line) is not None)
        yield re.sub(r"^(\s*)# ", r"\1", line) if inside else line


def _fill_value(text: str, template: str, *, keys: Sequence[str], value: str) -> str:
    """Return YAML text with the value at the nested `keys` replaced, unless a user has changed the template's value.

    Comments and all other lines stay. Raises SettingsError if there is no such key.
    """
    number, match = _find_yaml_line(text, keys)
    if (match["value"] or "").strip() != (_find_yaml_line(template, keys)[1]["value"] or "").strip():
        return text
    lines = text.splitlines(keepends=True)
    lines[number] = f"{match['indent']}{match['key']}: {_quote_yaml(value)}{match['end']}\n"
    return "".join(lines)


def _find_yaml_line(text: str, keys: Sequence[str]) -> tuple[int, re.Match[str]]:
    """Return index and regex match of the YAML line at the nested `keys`. Raises SettingsError if there is none."""
    path: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines()):
        if match := _LINE.fullmatch(line):
            indent = len(match["indent"])
            path = [*((depth, key) for depth, key in path if depth < indent), (indent, match["key"])]
            if [key for _, key in path] == [*keys]:
                return number, match
    raise SettingsError(
        f"a file in config has no key {'.'.join(keys)}, to which init writes an answer: create the folder again"
    )


def _quote_yaml(value: object) -> str:
    """Return a value as YAML on one line, strings in double quotes. Raises SettingsError for a digdag template."""
    if "${" in str(value):
        raise SettingsError(f"{sanitize(str(value))} contains a template, which digdag would fill in: leave it out")
    # YAML allows only some of the other characters.
    return "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in json.dumps(value, ensure_ascii=False))
