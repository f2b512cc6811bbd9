"""A new project folder for one job: rendered whole from templates, laid out beside its place, and moved."""

import json
import os
import re
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import jinja2

from td_pinterest_op.audiences.actions import Add
from td_pinterest_op.cli import screen
from td_pinterest_op.cli.bundle import WORKFLOWS, write_missing_files
from td_pinterest_op.cli.bundled_code import collect_code, write_code
from td_pinterest_op.cli.check import check_file
from td_pinterest_op.cli.connection import SECRETS
from td_pinterest_op.cli.files import explain_error
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.cli.workflow_kinds import ProjectAnswers, is_writable_name
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.task_runtime.digdag_secrets import read_local_secret

# Text that YAML takes for text without quotation marks.
_PLAIN = re.compile(r"[A-Za-z][\w ./@-]*[\w]", re.ASCII)
_NOT_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "null", "nan", "inf"})


def require_new_folder(folder: Path) -> None:
    """Raise SettingsError unless a folder is missing, or holds only files whose names begin with a dot."""
    if folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise SettingsError(
            f"{folder} is not empty: name a new folder. To update the operator in a project folder, run `td-pinterest "
            f"bundle {shlex.quote(str(folder))} --update`"
        )


def create_project_folder(folder: Path, answers: ProjectAnswers, common: CommonOptions) -> bool:
    """Make the project folder that `answers` describes, and check its workflows. Return True if these have no error.

    Raises SettingsError if the folder is not new or cannot be written. An interruption leaves no folder.
    """
    require_new_folder(folder)
    files = render_files(answers)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f".{folder.name}-", dir=folder.resolve().parent, ignore_cleanup_errors=True
        ) as made:
            beside = Path(made)
            write_missing_files(beside, files)
            write_code(beside, collect_code(with_phone_numbers="phone" in "".join(files.values()).lower()))
            beside.chmod(0o755)
            if folder.exists():
                # It may hold names that begin with a dot, and stays.
                for path in beside.iterdir():
                    path.rename(folder / path.name)
            else:
                beside.rename(folder)
    except OSError as error:
        raise SettingsError(f"{folder} cannot be made ({explain_error(error)}): name another folder") from None
    findings = [finding for name in files if name.endswith(".dig") for finding in check_file(folder / name)]
    for finding in findings:
        screen.print_note(str(finding))
    is_right = not any(finding.level == "error" for finding in findings)
    text = " and everything that it needs" if is_right else ", but it would fail: correct what is named above"
    common.print_note(f"{folder} contains {answers.kind.workflow}{text}")
    return is_right


def render_files(answers: ProjectAnswers) -> dict[str, str]:
    """Return the texts of the files that `answers` decide, by path in the project folder.

    Raises SettingsError for an answer that contains a template (`${…}`).
    """
    kind = answers.kind
    audience = answers.audiences[0] if answers.audiences and kind.name != "many" else None
    name = answers.new_name or (audience.name if audience and is_writable_name(audience.name) else "")
    checked: dict[str, str] = {}
    if audience:
        checked["audience_id"] = audience.id
    if name:
        checked["audience_name"] = name
    alert, _, address = answers.alert.partition(":")
    # A command's query is one of the operator's, in a workflow too.
    issues_query = bool(kind.query_file) and (answers.from_command or kind.name == "mirror")
    status_ids = f"${{target.{kind.name}.audience_id}}" if kind.checks_name else "${target.audience_id}"
    shared = ["workflow.yml", "pinterest.yml", "failed.yml"]
    others = ["config/environment.yml", *kind.shipped_queries]
    if answers.with_status:
        others.append("pinterest_status.dig")
    entries = []
    if kind.name == "many":
        shared.append("audiences.yml")
        status_ids = json.dumps(", ".join(each.id for each in answers.audiences))
        counts = Counter(each.name for each in answers.audiences)
        for each in answers.audiences:
            is_good = is_writable_name(each.name) and counts[each.name] == 1
            entries.append(
                {
                    "name": each.name if is_good else f"audience {each.id}",
                    "ad_account_id": answers.ad_account_id,
                    "audience_id": each.id,
                    "action": Add.action.name,
                    "query": kind.query_file,
                }
            )
    if kind.name == "lift":
        shared.append("lift.yml")
    values = {
        **vars(answers),
        "audience_id": audience.id if audience and kind.action and not kind.checks_name else "",
        "audience_name": answers.new_name if kind.creates_audience else "",
        "checked": {kind.name: checked} if kind.checks_name else {},
        "checks_name": kind.checks_name and bool(name) and audience is not None,
        "issues_query": issues_query,
        "alert": alert,
        "address": address,
        "entries": entries,
        "status_ids": status_ids,
        "history": answers.settings.get("history", "pinterest_history" if answers.database else ""),
    }
    files = {kind.workflow: render("export.dig" if kind.action else kind.workflow, values)}
    files |= {f"config/{each}": render(each, values) for each in shared}
    files |= {each: render(each, values) for each in others}
    if kind.query_file:
        # digdag fills in the query of a td> task, and halves `$$` in it.
        text = answers.query if issues_query or kind.name in ("many", "lift") else answers.query.replace("$", "$$")
        files[kind.query_file] = f"{text.strip()}\n"
    for file, sql in {"queries/suppressed.sql": answers.suppress, "queries/consented.sql": answers.consent}.items():
        if sql:
            files[file] = f"{sql.strip()}\n"
    return files


def render(template: str, values: Mapping[str, object]) -> str:
    """Return the text of a project folder's file. `template`: the path of its template, or of a shipped file."""
    environment = jinja2.Environment(  # noqa: S701 - no HTML
        loader=jinja2.FileSystemLoader([Path(__file__).parent / "templates", WORKFLOWS]),
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["yaml"] = format_yaml
    return environment.get_template(template).render(values)


def format_yaml(value: object, *, is_inserted: bool = False) -> str:
    """Return a value as YAML on one line, with each `$` doubled, which digdag halves.

    `is_inserted`: true if a template of digdag inserts the value into a task, where digdag halves no `$$`. Raises
    SettingsError for a value that contains a template (`${…}`).
    """
    if "${" in str(value):
        raise SettingsError("an answer contains a template, which digdag would fill in: leave it out")
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    text = json.dumps(value if is_inserted else _double_dollars(value), ensure_ascii=False)
    # YAML allows only some of the other characters.
    return "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in text)


def _double_dollars(value: Any) -> Any:
    """Return JSON data with each `$` of its texts doubled. digdag halves them in values, and not in keys."""
    if isinstance(value, Mapping):
        return {key: _double_dollars(member) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_double_dollars(member) for member in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def print_next_commands(folder: Path, answers: ProjectAnswers, common: CommonOptions) -> None:
    """Print the commands with which to run, push and observe the workflow in a new project folder, one per line."""
    if common.quiet:
        return
    place = shlex.quote(str(folder))
    project = shlex.quote(folder.resolve().name)
    run = f"digdag run {answers.kind.workflow} --rerun -p py.python={shlex.quote(sys.executable)}"
    note = ""
    if answers.kind.name == "activation":
        run += (
            f" -p segment_name=trial -p activation_actions_table={answers.database}.people"
            " -p settings_for_this_run='{\"dry_run\": true}'"
        )
        note = f"   # sends nobody; name a table of yours in place of {answers.database}.people"
    elif answers.kind.name == "erase":
        run += " -p settings_for_this_run='{\"dry_run\": true}'"
        note = "   # removes nobody; without the last option it removes the people from every list"
    ids = [audience.id for audience in answers.audiences]
    if missing := [secret for secret in SECRETS.values() if not read_local_secret(secret, os.environ)]:
        common.print_note(
            f"`digdag run` reads the local digdag secrets only, which lack {', '.join(missing)}: `digdag secrets "
            f"--local --set {' '.join(missing)}` asks for them"
        )
    common.print_note("Next:")
    for command in (
        f"(cd {place} && {run}){note}",
        f"td-pinterest push {project} {place}   # then `td-pinterest authorize --to td {project}`",
        f"td-pinterest {f'audience {ids[0]}' if len(ids) == 1 else 'audiences'}   # the day after",
    ):
        click.echo(f"  {screen.name_program(command)}", err=True)  # it is there to be copied, and stays one line
