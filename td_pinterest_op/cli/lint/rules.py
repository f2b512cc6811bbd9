"""The rules of the linter. What settings may be is not written here: the rules ask the operator's own parser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from td_pinterest_op.cli.lint import project
from td_pinterest_op.cli.lint.dig_file import DigFile, Value
from td_pinterest_op.cli.lint.settings import COMPLETED, READERS, STAND_IN, Checked, check_settings, stand_ins
from td_pinterest_op.cli.lint.tasks import Task, UnknownError, tasks
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.settings.table import READS_ROWS, Action, IfExists
from td_pinterest_op.settings.types import has_lost_digits
from td_pinterest_op.workflow import task as workflow_task

EXPORT = "td_pinterest_op.export.PinterestExport"
_SECRET = re.compile(r"\$\{secret:\s*([^{}\s]+)\s*\}")
# Operators that do a thing twice when they run twice.
_ONCE = {"mail": "sends its mail", "http": "sends its request", "sh": "runs its command", "embulk": "loads its data"}


def check(dig: DigFile) -> None:
    """Note what is wrong with a workflow."""
    if dig.root is None:
        return
    found = list(tasks(dig.root))
    _check_digits(dig)
    for task in found:
        if task.operator == "py":
            _check_py(dig, task)
        elif task.operator == "td":
            _check_td(dig, task)
        _check_retry(dig, task, found)
    project.check(dig, found)


def is_ours(task: Task) -> bool:
    """Whether a task runs a class of this package."""
    command = task.command
    return task.operator == "py" and command is not None and str(command.value).startswith("td_pinterest_op.")


def _check_digits(dig: DigFile) -> None:
    for value in dig.root.walk() if dig.root else ():
        if not value.quoted and not isinstance(value.value, bool) and has_lost_digits(value.value):
            message = "a number of more than 15 digits can change when digdag reads it: put the id in quotes"
            dig.find(value, "unquoted-id", message)


def _check_py(dig: DigFile, task: Task) -> None:
    command = task.command
    if command is None or not is_ours(task):
        return
    name = str(command.value)
    if name in COMPLETED:
        _check_docker(dig, task)
        return
    if name not in READERS:
        dig.find(command, "class", f"{name} is no operator of td_pinterest_op: an export is {EXPORT}")
        return
    environ = _environ(dig, task)
    checked = check_settings(dig, task, environ, reader=READERS[name])
    if name == EXPORT:
        _check_schedule(dig, task, checked)
    if "erase" in name or (name == EXPORT and checked.action in (*READS_ROWS, None)):
        _check_source(dig, task, environ)
    _check_docker(dig, task)


def _environ(dig: DigFile, task: Task) -> Mapping[str, str]:
    """The environment of the task: each variable of its `_env`, secrets with a stand-in for a value."""
    given = task.value.get("_env")
    environ = {}
    for name, value in given.mapping.items() if given else ():
        text = "" if value.value is None else str(value.value)
        environ[name] = _SECRET.sub(STAND_IN, text)
    for parent in task.parents:
        if misplaced := parent.get("_export", "_env"):
            message = "digdag reads _env from the task itself: move it there, beside py>"
            dig.find(misplaced, "env", message)
    return environ


def _check_source(dig: DigFile, task: Task, environ: Mapping[str, str]) -> None:
    if "TD_API_KEY" not in environ:
        message = "the task gets no TD_API_KEY: add `TD_API_KEY: ${secret:td.apikey}` under its _env"
        dig.find(task.value.get("_env") or task.value, "env", message)
    params: dict[str, Any] = {"td": {"last_job_id": "1"}}
    for name in ("job_id", "query", "database", "engine"):
        value = task.value.get(name)
        try:
            params |= {name: task.filled(value)} if value else {}
        except UnknownError:
            params[name] = "1"
    params["database"] = params.get("database") or task.exported.get("td", {}).get("database") or "database"
    try:
        workflow_task.source(workflow_task.Task(params=params, environ={}))
    except SettingsError as error:
        for problem in error.problems:
            dig.find(task.value.get(problem.key) or task.value, "source", problem.text)


def _check_schedule(dig: DigFile, task: Task, checked: Checked) -> None:
    schedule = dig.root.get("schedule") if dig.root else None
    if schedule is None or checked.action is None:
        return
    place = checked.place or task.value
    if checked.action is Action.CREATE and checked.if_exists is IfExists.FAIL:
        message = (
            "create_new_audience fails from the second scheduled run on, because the audience exists then: set "
            "if_exists: add or replace, or use an action for an audience that exists"
        )
        dig.find(place, "create-scheduled", message)
    if checked.action is Action.REPLACE and _runs_within_a_day(schedule):
        message = (
            "replace_current_audience leaves a customer list behind at every run, and Pinterest needs a day or two to "
            "fill a new one: run it once a day at most, or send the differences with add and remove"
        )
        dig.find(place, "replace-often", message)


def _runs_within_a_day(schedule: Value) -> bool:
    for key, value in schedule.mapping.items():
        if key in ("hourly>", "minutes_interval>"):
            return True
        if key == "cron>":
            fields = str(value.value).split()
            return len(fields) >= 5 and not all(field.isdecimal() for field in fields[:2])
    return False


def _check_td(dig: DigFile, task: Task) -> None:
    settings = task.value.get("result_settings")
    if settings is None or str((settings.get("type") or settings).value).strip().lower() != "pinterest":
        return
    message = (
        "a td> task does not run this operator, and Treasure Data's own connector reads result_settings here: move the "
        f"settings to a task of their own after this one, `py>: {EXPORT}` with an _env"
    )
    dig.find(settings, "connector", message)
    if connection := task.value.get("result_connection"):
        message = "result_connection belongs to Treasure Data's connector: the operator reads its credentials from _env"
        dig.find(connection, "connector", message)
    # The credentials of a connection are not looked for in an environment.
    check_settings(dig, task, stand_ins())


def _check_docker(dig: DigFile, task: Task) -> None:
    images = [
        task.exported.get("docker"),
        (task.value.get("docker") or Value(value=None, path=dig.path, line=1)).plain(),
    ]
    in_comments = any(re.search(r"^\s*#\s*docker:", text, re.MULTILINE) for text in dig.texts.values())
    if not any(isinstance(docker, dict) and docker.get("image") for docker in images) and not in_comments:
        message = (
            "hosted Treasure Workflow runs py> in a container and needs `docker: {image: "
            "treasuredata/customscript-python:3.12.11-td0}` under _export; for a digdag of your own, keep the lines in "
            "a comment that begins with `# docker:`"
        )
        dig.find(task.value, "docker", message, error=False)


def _check_retry(dig: DigFile, task: Task, found: list[Task]) -> None:
    retry = task.value.get("_retry")
    if retry is None:
        return
    if task.operator == "td":
        message = (
            "_retry on a td> task looks at the same failed job again: use job_retry, or _retry on the group around it"
        )
        dig.find(retry, "retry", message, error=False)
        return
    inside = [other for other in found if task.value in other.parents]
    if any(map(is_ours, inside)):
        for other, what in _not_repeatable(inside):
            message = f"this repeats {other.name} too, which {what} once more each time: put _retry on the export alone"
            dig.find(retry, "retry", message)


def _not_repeatable(inside: list[Task]) -> Iterator[tuple[Task, str]]:
    for task in inside:
        if task.operator in _ONCE:
            yield task, _ONCE[task.operator]
        elif task.operator == "td" and (task.value.get("insert_into") or _inserts(task)):
            yield task, "inserts its rows"


def _inserts(task: Task) -> bool:
    text = task.value.get("query") or task.value.get("td>", "data")
    return text is not None and str(text.value).lstrip().upper().startswith("INSERT")
