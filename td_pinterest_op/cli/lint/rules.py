"""The rules of the linter. What settings may be is not repeated here: the rules use the operator's own parser."""

import itertools
import re
import zoneinfo
from collections.abc import Iterable, Mapping
from typing import Any

from td_pinterest_op.activation import PARAMETERS as ACTIVATION_PARAMETERS
from td_pinterest_op.cli.connection import PINTEREST_SECRETS
from td_pinterest_op.cli.lint import built_exports, project, structure
from td_pinterest_op.cli.lint.dig_file import DigFile, Task, Value, walk_tasks
from td_pinterest_op.cli.lint.secrets import PLACEHOLDER, check_secret_names, read_task_environ
from td_pinterest_op.cli.lint.settings import (
    ACTIVATION,
    MANY,
    OPERATORS,
    TABLES,
    check_built_settings,
    check_parallel_limit,
    check_settings,
)
from td_pinterest_op.settings.parse import TASK_PARAMETERS, find_misspelt_parameters
from td_pinterest_op.settings.types import find_nearest, has_lost_digits
from td_pinterest_op.stats import LISTS, Stats

EXPORT_OPERATOR = "td_pinterest_op.export.PinterestExport"
_LEAVES_NO_JOB = ("echo", "mail", "http", "if", "fail", "wait", "loop", "for_each", "for_range", "sh")
# Operators whose effect a second run repeats.
_ONCE = {"mail": "sends its mail", "http": "sends its request", "sh": "runs its command", "embulk": "loads its data"}
_OFTEN = ("hourly>", "minutes_interval>")
# Besides names, Java takes offsets.
_OFFSET = re.compile(r"Z|(?:UTC|GMT|UT)?[+-][0-9]{1,2}(?::?[0-9]{2}){0,2}|UTC|GMT|UT")
_WEBHOOK = re.compile(r"^https://(?:hooks\.slack\.com|discord\.com/api/webhooks|[\w.-]+\.webhook\.office\.com)/")
_CALL = re.compile("call>:.*")
_TEMPLATE = re.compile(r"\$\{(?!secret:)[^{}]*\}")
# A figure of an export in a template, `${pinterest.…}`.
_FIGURE = re.compile(r"(?<![\w.\"'])pinterest((?:\.[A-Za-z_]\w*)+)")


def check_workflow(dig: DigFile) -> None:
    """Add findings about everything in a workflow that can be checked without running it."""
    if (root := dig.root) is None:
        return
    tasks = list(walk_tasks(root))
    package_tasks = list(filter(_is_package_task, tasks))
    for value in root.walk():
        if not value.quoted and not isinstance(value.value, bool) and has_lost_digits(value.value):
            message = "a number of more than 15 digits can change when digdag reads it: put the id in quotes"
            dig.add_error(value, "unquoted-id", message)
        if isinstance(value.value, str):
            check_secret_names(dig, value)
    _check_time_zone(dig, root)
    for position, task in enumerate(tasks):
        if task in package_tasks:
            _check_operator(dig, task, tasks[:position])
        elif task.operator == "td":
            _check_connector(dig, task)
        elif task.operator in ("mail", "http"):
            _check_alert(dig, task)
        _check_database(dig, task, is_package_task=task in package_tasks)
        _check_retry(dig, task, tasks, package_tasks)
    if package_tasks:
        _check_statistic_names(dig, root)
        _check_early_statistics(dig, itertools.takewhile(lambda task: task not in package_tasks, tasks))
        _check_docker(dig, package_tasks, tasks)
    structure.check_structure(dig, root, tasks)
    project.check_project(dig, tasks)


def _find_intended_operator(task: Task) -> str:
    """Return the operator of this package that a task names, perhaps misspelt, or "" if it names another operator."""
    name = str(task.command.value) if task.operator == "py" and task.command else ""
    if name == EXPORT_OPERATOR.rpartition(".")[2]:
        return EXPORT_OPERATOR
    return find_nearest(name.removesuffix(".run"), OPERATORS, cutoff=0.8)


def _is_package_task(task: Task) -> bool:
    """Whether a task runs an operator of this package, or misspells its name."""
    return bool(_find_intended_operator(task)) or project.runs_package(task)


def _check_operator(dig: DigFile, task: Task, earlier_tasks: list[Task]) -> None:
    """Add findings about the operator that a task runs, and about its parameters, settings and source of rows."""
    command, name = task.command, _find_intended_operator(task)
    written = str(command.value).removesuffix(".run") if command else ""
    if command and written not in OPERATORS:
        suggestion = f"did you mean {name}?" if name else f"an export is {EXPORT_OPERATOR}"
        dig.add_error(command, "class", f"{written} is not an operator of td_pinterest_op: {suggestion}")
    _check_parameters(dig, task, name)
    environ = read_task_environ(dig, task)
    if name in (MANY, ACTIVATION):
        _check_built_exports(dig, task, environ, earlier_tasks, is_list=name == MANY)
    if name not in TABLES:
        return
    known = check_settings(dig, task, environ, table=TABLES[name])
    action = known.get("action")
    if name == EXPORT_OPERATOR:
        _check_scheduled_action(dig, task, known)
    has_database = task.value.get("database") or task.get_exported("td", "database")
    for key in LISTS:
        value = task.value.get(key)
        if value and (name != EXPORT_OPERATOR or (action and not action.adds_people)):
            dig.add_warning(value, "unused-setting", f"the task does not use {key}: remove the line")
        elif value and not has_database:
            dig.add_warning(value, "database", f"{key} needs a database: give the task a `database`")
    if "erase" in name or name == EXPORT_OPERATOR:
        unused = LISTS if "erase" in name else ()
        params = {key: value for key, value in built_exports.read_parameters(dig, task).items() if key not in unused}
        place = built_exports.join_places(task.value.get("result_settings"), task.value)
        built_exports.check_source(dig, place, params, known, environ, is_known_job=_may_have_job(dig, earlier_tasks))


def _check_built_exports(
    dig: DigFile, task: Task, environ: Mapping[str, str], earlier_tasks: list[Task], *, is_list: bool
) -> None:
    """Check the exports of a list of audiences, or of an activation, as their operator builds them. Add findings."""
    if is_list:
        check_parallel_limit(dig, task)
    for place, built in built_exports.build_exports(dig, task, is_list=is_list):
        settings = {
            name: None if built_exports.is_partly_unknown(value) else "" if value is None else value
            for name, value in built.params["result_settings"].items()
        }
        known = check_built_settings(dig, place, settings, environ, is_complete=is_list)
        built_exports.check_source(
            dig, place, built.params, known, environ, is_known_job=_may_have_job(dig, earlier_tasks)
        )


def _check_parameters(dig: DigFile, task: Task, operator: str) -> None:
    """Add findings about misspelt parameters, and about settings outside `result_settings`."""
    table, own = TABLES.get(operator), ACTIVATION_PARAMETERS if operator == ACTIVATION else ()
    names = [*task.value.mapping, *task.exported]
    for key, near in find_misspelt_parameters(names, [*TASK_PARAMETERS, *own]).items():
        message = f"{key} is not a parameter of this task; did you mean {near}?"
        dig.add_error(task.value.get(key) or task.value, "unknown-parameter", message)
    for key, value in task.value.mapping.items() if table else ():
        if table and key in table.by_name and key not in {*TASK_PARAMETERS, "history"}:
            dig.add_error(
                value, "setting", f"{key} is a setting, which the operator reads under result_settings: move it there"
            )


def _may_have_job(dig: DigFile, earlier_tasks: list[Task]) -> bool:
    """Whether an earlier task, or a workflow that calls this one, may have set `td.last_job_id`."""
    return any(map(_may_set_last_job, earlier_tasks)) or _is_called_by_others(dig)


def _may_set_last_job(task: Task) -> bool:
    """Whether a task may set `td.last_job_id`, as td> and calls of other workflows can."""
    operator = task.operator or "echo"
    return operator.startswith("td") or not (operator in _LEAVES_NO_JOB or _is_package_task(task))


def _is_called_by_others(dig: DigFile) -> bool:
    """Whether another workflow of the folder may call this workflow, and so pass on a job or a database."""
    others = (path for path in dig.folder.glob("*.dig") if path != dig.path and path.is_file())
    name = re.compile(rf"\$\{{|\b{re.escape(dig.path.stem)}\b")
    calls = (call for path in others for call in _CALL.findall(path.read_text(encoding="utf-8", errors="replace")))
    return any(map(name.search, calls))


def _check_time_zone(dig: DigFile, root: Value) -> None:
    """Add a finding about a time zone that digdag does not know."""
    zone, known = root.get("timezone"), zoneinfo.available_timezones()
    name = str(zone.value).strip() if zone else ""
    if zone and known and "${" not in name and name not in known and not _OFFSET.fullmatch(name):
        near = find_nearest(name, known, cutoff=0.6)
        dig.add_error(
            zone, "timezone", f"digdag does not know the time zone {name}" + (f"; did you mean {near}?" if near else "")
        )


def _check_scheduled_action(dig: DigFile, task: Task, known: Mapping[str, Any]) -> None:
    """Add findings about an action unfit for a schedule. `known`: the settings whose values are known before a run."""
    schedule, action = dig.root.get("schedule") if dig.root else None, known.get("action")
    if schedule is None or action is None:
        return
    place = task.value.get("result_settings", "action") or task.value
    if action.only_once and known.get("if_exists") == "fail":
        instead = "set if_exists: add or replace, or " if "if_exists" in action.uses else ""
        message = (
            f"{action.name} fails from the second scheduled run on, because the audience exists then: {instead}use an "
            "action for an audience that exists"
        )
        dig.add_error(place, "create-scheduled", message)
    if action.leaves_lists and _runs_often(schedule):
        message = (
            f"{action.name} leaves an unused customer list behind at every run, and Pinterest needs a day or two to "
            "fill a new one: run it once a day at most, or send the differences with mirror_current_audience"
        )
        dig.add_error(place, "replace-often", message)


def _runs_often(schedule: Value) -> bool:
    """Whether a schedule runs a workflow more often than once a day."""
    for key, value in schedule.mapping.items():
        if key in _OFTEN:
            return True
        if key == "cron>":
            fields = str(value.value).split()
            return len(fields) >= 5 and not all(field.isdecimal() for field in fields[:2])
    return False


def _check_connector(dig: DigFile, task: Task) -> None:
    """Add a finding if a td> task has Pinterest settings, which Treasure Data's connector reads, not our operator."""
    settings = task.value.get("result_settings")
    if settings is None or str((settings.get("type") or settings).value).strip().lower() != "pinterest":
        return
    message = (
        "a td> task does not run this operator, and Treasure Data's own connector reads result_settings here: move the "
        f"settings to a task of their own after this one, `py>: {EXPORT_OPERATOR}` with an _env"
    )
    dig.add_error(settings, "connector", message)
    if connection := task.value.get("result_connection"):
        message = "result_connection belongs to Treasure Data's connector: the operator reads its credentials from _env"
        dig.add_error(connection, "connector", message)
    # A connection of Treasure Data has its own credentials: they are not missing in the environment.
    check_settings(dig, task, dict.fromkeys(PINTEREST_SECRETS, PLACEHOLDER))


def _check_alert(dig: DigFile, task: Task) -> None:
    """Add findings about an alert mail to the placeholder address, and about a webhook address in plain text."""
    command, to = task.command, task.value.get("to")
    if to and "you@example.com" in str(to.to_plain()):
        dig.add_warning(
            to, "placeholder", "the alert is addressed to the placeholder you@example.com: fill in a real address"
        )
    if command and _WEBHOOK.search(str(command.value)):
        message = (
            "whoever knows this address can post with it: remove it, set it as a secret (such as slack.webhook), and "
            "write `http>: ${secret:slack.webhook}`"
        )
        dig.add_error(command, "plain-secret", message)


def _check_docker(dig: DigFile, package_tasks: list[Task], tasks: list[Task]) -> None:
    """Add a finding for each task of our operators without a container image, if another task has such an image."""
    is_hosted = any(project.has_image(task) for task in tasks if task.operator == "py")
    for task in package_tasks:
        own = task.value.get("docker")
        if not project.has_image(task) and (is_hosted or own or "docker" in task.exported):
            message = (
                "hosted Treasure Workflow runs py> in a container, and this task has no image: add `docker: {image: …}`"
            )
            dig.add_warning(own or task.value, "docker", message)


def _check_database(dig: DigFile, task: Task, *, is_package_task: bool) -> None:
    """Add a finding for a query without a database, unless another workflow may call this one and set the database."""
    query = task.value.get("query") if is_package_task else task.command if task.operator == "td" else None
    has_database = task.value.get("database") or task.exported.get("database")
    if query and not has_database and not task.get_exported("td", "database") and not _is_called_by_others(dig):
        dig.add_error(
            query,
            "database",
            "the query needs a database: give the task a `database`, or set td.database under `_export`",
        )


def _check_retry(dig: DigFile, task: Task, tasks: list[Task], package_tasks: list[Task]) -> None:
    """Add findings about a task's `_retry` that has no effect, or repeats side effects of tasks other than exports."""
    retry = task.value.get("_retry")
    if retry is None:
        return
    if task.operator == "td":
        message = (
            "_retry on a td> task checks the same failed job again: use job_retry, or _retry on the group around it"
        )
        dig.add_warning(retry, "retry", message)
    elif any(task.value in other.parents for other in package_tasks):
        for other in tasks:
            if task.value in other.parents and (effect := _describe_repetition(other)):
                message = (
                    f"_retry here also repeats {other.name}, which {effect} each time: put _retry on the export alone"
                )
                dig.add_error(retry, "retry", message)


def _describe_repetition(task: Task) -> str:
    """Return the harm that each repetition of a task does, such as "inserts its rows", or "" if there is none."""
    if task.operator != "td":
        return _ONCE.get(task.operator or "", "")
    sql = task.value.get("query") or task.value.get("td>", "data")
    inserts = task.value.get("insert_into") or (sql and str(sql.value).lstrip().upper().startswith("INSERT"))
    return "inserts its rows" if inserts else ""


def _check_early_statistics(dig: DigFile, earlier_tasks: Iterable[Task]) -> None:
    """Add findings about tasks that use the statistics of an export before any export has run."""
    for task in earlier_tasks:
        values = [each for value in structure.list_own_values(task) for each in value.walk()]
        for value in values if "_error" not in task.name and not _is_called_by_others(dig) else ():
            text = " ".join(_TEMPLATE.findall(value.value)) if isinstance(value.value, str) else ""
            if _FIGURE.search(text) and "typeof" not in text:
                message = "the task uses an export's statistics before any export has run: put it after the export"
                dig.add_error(value, "statistic", message)


def _check_statistic_names(dig: DigFile, root: Value) -> None:
    """Add a finding for each template that names a statistic which does not exist."""
    known = Stats(action="", ad_account_id="", dry_run=False, keys=0).to_json()
    for value in root.walk():
        for template in _TEMPLATE.findall(value.value) if isinstance(value.value, str) else ():
            for path in _FIGURE.findall(template):
                if missing := structure.find_missing_name(path.strip(".").split("."), known):
                    dig.add_error(value, "statistic", f"pinterest{path}: an export has no statistic {missing}")
