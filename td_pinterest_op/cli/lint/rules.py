"""The rules of the linter. What settings may be is not written here: the rules ask the operator's own parser."""

from __future__ import annotations

import difflib
import re
import zoneinfo
from collections.abc import Mapping
from typing import Any

from td_pinterest_op.cli.connection import PINTEREST_SECRETS
from td_pinterest_op.cli.lint import project, structure
from td_pinterest_op.cli.lint.dig_file import DigFile, Task, UnknownError, Value, tasks
from td_pinterest_op.cli.lint.settings import DOORS, STAND_IN, TABLES, check_secret_names, check_settings, environ_of
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.settings.table import IfExists
from td_pinterest_op.settings.task_parameters import misspelt_parameters
from td_pinterest_op.settings.types import closest, has_lost_digits
from td_pinterest_op.stats import LISTS, Stats
from td_pinterest_op.workflow import task as workflow_task

EXPORT = "td_pinterest_op.export.PinterestExport"
_LEAVES_NO_JOB = ("echo", "mail", "http", "if", "fail", "wait", "loop", "for_each", "for_range", "sh")
# Operators that do a thing twice when they run twice.
_ONCE = {"mail": "sends its mail", "http": "sends its request", "sh": "runs its command", "embulk": "loads its data"}
# What digdag's schedule knows.
_OFTEN = ("hourly>", "minutes_interval>")
_SCHEDULES = (*_OFTEN, "daily>", "weekly>", "monthly>", "cron>")
# Besides names, Java takes offsets.
_OFFSET = re.compile(r"Z|(?:UTC|GMT|UT)?[+-][0-9]{1,2}(?::?[0-9]{2}){0,2}|UTC|GMT|UT")
# A figure of an export in a template, `${pinterest.…}`.
_CALL = re.compile("call>:.*")
_TEMPLATE = re.compile(r"\$\{(?!secret:)[^{}]*\}")
_FIGURE = re.compile(r"(?<![\w.\"'])pinterest((?:\.[A-Za-z_]\w*)+)")


def check(dig: DigFile) -> None:
    """Note what is wrong with a workflow."""
    if (root := dig.root) is None:
        return
    every = list(tasks(root))
    ours = [task for task in every if _meant(task) or project.names_package(task)]
    for value in root.walk():
        if not value.quoted and not isinstance(value.value, bool) and has_lost_digits(value.value):
            message = "a number of more than 15 digits can change when digdag reads it: put the id in quotes"
            dig.find(value, "unquoted-id", message)
        if isinstance(value.value, str):
            check_secret_names(dig, value)
    _check_times(dig, root)
    for position, task in enumerate(every):
        if task in ours:
            _check_ours(dig, task, every[:position])
        elif task.operator == "td":
            _check_td(dig, task)
        _check_database(dig, task, is_ours=task in ours)
        _check_retry(dig, task, every, ours)
    if ours:
        _check_statistics(dig, root)
        _check_docker(dig, ours, every)
    structure.check(dig, root, every)
    project.check(dig, every)


def _meant(task: Task) -> str:
    """The class of this package that a task names, or the one that it seems to mean; "" for none."""
    name = str(task.command.value) if task.operator == "py" and task.command else ""
    return next(iter(difflib.get_close_matches(name.removesuffix(".run")[:100], DOORS, n=1, cutoff=0.8)), "")


def _check_ours(dig: DigFile, task: Task, before: list[Task]) -> None:
    command, name = task.command, _meant(task)
    written = str(command.value).removesuffix(".run") if command else ""
    if command and written not in DOORS:
        meant = f"did you mean {name}?" if name else f"an export is {EXPORT}"
        dig.find(command, "class", f"{written} is no operator of td_pinterest_op: {meant}")
    for key, near in misspelt_parameters([*task.value.mapping, *task.exported]).items():
        message = f"{key} is no parameter of an export; did you mean {near}?"
        dig.find(task.value.get(key) or task.value, "unknown-parameter", message)
    environ = environ_of(dig, task)
    if name not in TABLES:
        return
    known = check_settings(dig, task, environ, table=TABLES[name])
    action = known.get("action")
    if name == EXPORT:
        _check_schedule(dig, task, known)
    has_database = task.value.get("database") or _mapping(task.exported.get("td")).get("database")
    for key in LISTS:
        value = task.value.get(key)
        if value and action and not action.adds_people:
            dig.find(value, "unused-setting", f"the action does not use {key}: take the line out", error=False)
        elif value and not has_database:
            dig.find(value, "database", f"{key} needs its database: give the task a `database`", error=False)
    if "erase" in name or (name == EXPORT and (action is None or action.reads_rows)):
        _check_source(dig, task, environ, before)


def _check_source(dig: DigFile, task: Task, environ: Mapping[str, str], before: list[Task]) -> None:
    if "TD_API_KEY" not in environ:
        message = "the task gets no TD_API_KEY: add `TD_API_KEY: ${secret:td.apikey}` under its _env"
        dig.find(task.value.get("_env") or task.value, "env", message)
    params: dict[str, Any] = {**task.exported, "td": {"database": "database", **_mapping(task.exported.get("td"))}}
    if any(map(_may_leave_a_job, before)) or _is_called(dig):
        params["td"].setdefault("last_job_id", "1")
    for name in ("job_id", "query", "database", "engine"):
        value = task.value.get(name)
        try:
            params |= {name: task.filled(value)} if value else {}
        except UnknownError:
            params[name] = "1"
    if str(params.get("query")).strip().lower().endswith(".sql"):
        params["query"] = "1"  # whether the file is there is another rule
    try:
        workflow_task.read_source(workflow_task.Task(params=params, environ={}))
    except SettingsError as error:
        for problem in error.problems:
            dig.find(task.value.get(problem.key) or task.value, "source", problem.text)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _may_leave_a_job(task: Task) -> bool:
    """Whether `td.last_job_id` may be there after a task: another operator, or a called workflow, can store it too."""
    operator = task.operator or "echo"
    return operator.startswith("td") or not (operator in _LEAVES_NO_JOB or _meant(task) or project.names_package(task))


def _is_called(dig: DigFile) -> bool:
    """Whether another workflow of the folder calls this one, and may bring a job."""
    others = (path for path in dig.folder.glob("*.dig") if path != dig.path and path.is_file())
    name = re.compile(rf"\$\{{|\b{re.escape(dig.path.stem)}\b")
    calls = (call for path in others for call in _CALL.findall(path.read_text(encoding="utf-8", errors="replace")))
    return any(map(name.search, calls))


def _check_times(dig: DigFile, root: Value) -> None:
    """Note a schedule or a time zone that digdag does not know."""
    schedule, zone = root.get("schedule"), root.get("timezone")
    for key, value in schedule.mapping.items() if schedule else ():
        if key.endswith(">") and key not in _SCHEDULES:
            dig.find(value, "schedule", f"digdag has no schedule {key}{closest(key, _SCHEDULES)}")
    known = zoneinfo.available_timezones()
    name = str(zone.value).strip() if zone else ""
    if zone and known and "${" not in name and name not in known and not _OFFSET.fullmatch(name):
        near = difflib.get_close_matches(name[:64], known, n=1)
        suggestion = f"; did you mean {near[0]}?" if near else ""
        dig.find(zone, "timezone", f"digdag knows no time zone {name}{suggestion}")


def _check_schedule(dig: DigFile, task: Task, known: Mapping[str, Any]) -> None:
    when, action = dig.root.get("schedule") if dig.root else None, known.get("action")
    if when is None or action is None:
        return
    place = task.value.get("result_settings", "action") or task.value
    if action.only_once and known.get("if_exists") is IfExists.FAIL:
        instead = "set if_exists: add or replace, or " if "if_exists" in action.uses else ""
        message = (
            f"{action.name} fails from the second scheduled run on, because the audience exists then: {instead}use an "
            "action for an audience that exists"
        )
        dig.find(place, "create-scheduled", message)
    if action.leaves_lists and _runs_within_a_day(when):
        message = (
            f"{action.name} leaves a customer list behind at every run, and Pinterest needs a day or two to "
            "fill a new one: run it once a day at most, or send the differences with add and remove"
        )
        dig.find(place, "replace-often", message)


def _runs_within_a_day(schedule: Value) -> bool:
    """Whether the workflow runs more often than once a day."""
    for key, value in schedule.mapping.items():
        if key in _OFTEN:
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
    check_settings(dig, task, dict.fromkeys(PINTEREST_SECRETS, STAND_IN))


def _check_docker(dig: DigFile, ours: list[Task], every: list[Task]) -> None:
    """A hosted workflow has an image for each py> task; whether a workflow is hosted, only another image tells."""
    is_hosted = any(project.has_image(task) for task in every if task.operator == "py")
    for task in ours:
        own = task.value.get("docker")
        if not project.has_image(task) and (is_hosted or own or "docker" in task.exported):
            message = (
                "hosted Treasure Workflow runs py> in a container, and this task has no image: add `docker: {image: …}`"
            )
            dig.find(own or task.value, "docker", message, error=False)


def _check_database(dig: DigFile, task: Task, *, is_ours: bool) -> None:
    """Note a query that no database is given for; a workflow that calls this one may give it."""
    query = task.value.get("query") if is_ours else task.command if task.operator == "td" else None
    has_database = task.value.get("database") or task.exported.get("database")
    if query and not has_database and not _mapping(task.exported.get("td")).get("database") and not _is_called(dig):
        dig.find(query, "database", "the query needs its database: give the task a `database`, or export td.database")


def _check_retry(dig: DigFile, task: Task, every: list[Task], ours: list[Task]) -> None:
    retry = task.value.get("_retry")
    if retry is None:
        return
    if task.operator == "td":
        message = (
            "_retry on a td> task looks at the same failed job again: use job_retry, or _retry on the group around it"
        )
        dig.find(retry, "retry", message, error=False)
    elif any(task.value in other.parents for other in ours):
        for other in every:
            if task.value in other.parents and (what := _repeated_effect(other)):
                message = (
                    f"this repeats {other.name} too, which {what} once more each time: put _retry on the export alone"
                )
                dig.find(retry, "retry", message)


def _repeated_effect(task: Task) -> str:
    """What a task that is repeated does a second time; "" for nothing that matters."""
    if task.operator != "td":
        return _ONCE.get(task.operator or "", "")
    sql = task.value.get("query") or task.value.get("td>", "data")
    inserts = task.value.get("insert_into") or (sql and str(sql.value).lstrip().upper().startswith("INSERT"))
    return "inserts its rows" if inserts else ""


def _check_statistics(dig: DigFile, root: Value) -> None:
    """Note a name that the statistics do not have: digdag would end the task, or show nothing."""
    known = Stats(action="", ad_account_id="", dry_run=False, keys=0).to_json()
    for value in root.walk():
        for template in _TEMPLATE.findall(value.value) if isinstance(value.value, str) else ():
            for path in _FIGURE.findall(template):
                if wrong := _unknown(path, known):
                    dig.find(value, "statistic", f"pinterest{path}: the statistics of an export have no {wrong}")


def _unknown(path: str, known: object) -> str:
    """The first part of `path` that is not known, with the name that may be meant; "" if all are."""
    for name in path.strip(".").split("."):
        if not isinstance(known, dict):
            return ""  # a method of a text or of a number
        if name not in known:
            return f"{name}{closest(name, known)}"
        known = known[name]
    return ""
