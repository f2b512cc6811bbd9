"""The rules of the linter. What an export may be is not repeated here: the operator's own functions judge it."""

import re
from collections.abc import Sequence
from itertools import islice, takewhile

from td_pinterest_op import __version__
from td_pinterest_op.audiences.actions import Add, Create, Remove
from td_pinterest_op.cli.lint.dig_file import Block, DigFile, DigTask, Place, read_workflow, walk
from td_pinterest_op.cli.lint.environment import read_environ
from td_pinterest_op.cli.lint.exports import FAILED, LIFT, OPERATORS, is_unknown, read_exports
from td_pinterest_op.cli.lint.problems import Export, find_second_statement
from td_pinterest_op.cli.lint.selected_columns import COMMENT_OR_STRING, find_column_problems
from td_pinterest_op.cli.lint.templates import check_templates
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.records.hashed_query import require_one_statement
from td_pinterest_op.requirements import find_other_version
from td_pinterest_op.settings.table import FOR_THIS_RUN, Settings
from td_pinterest_op.settings.types import find_nearest, has_lost_digits
from td_pinterest_op.stats import CONSENT, SUPPRESS
from td_pinterest_op.treasure_data.job import Source

# Operators after which `td.last_job_id` is what it was before.
_LEAVES_NO_JOB = ("echo", "mail", "http", "if", "fail", "wait", "loop", "for_each", "for_range", "sh")
_US = "api.treasuredata.com"
_PLACEHOLDER = "the name of that audience"  # of the shipped config/pinterest.yml
_TO_BE_FILLED_IN = re.compile(r"\s*(<[^<>]*(your|name|id|account)\b[^<>]*>|your_\w+|change_?me)\s*", re.IGNORECASE)
_MOST_TASKS = 2_000  # loops and calls can make many of few


def check_workflow(dig: DigFile) -> list[Export]:
    """Add findings about a workflow's use of this package. Return the exports of its tasks."""
    tasks = list(islice(dig.walk_tasks(dig.root), _MOST_TASKS))
    operators = {task.name: _find_operator(dig, task) for task in tasks}
    ours = [task for task in tasks if operators[task.name]]
    exports: list[Export] = []
    required = [dig.folder / f"{task.command}.dig" for task in tasks if task.operator == "require"]
    if not ours and not any("td_pinterest_op." in dig.other_workflows.get(path, "") for path in required):
        return exports
    queries = {task.name: _read_td_query(dig, task) for task in tasks if task.operator == "td"}
    last_job: DigTask | None = None
    last_query: str | None = None  # of the last job, "" if it is not known; None without a job
    for task in tasks:
        if task in ours:
            found = _check_our_task(dig, task, operators[task.name], last_query)
            if last_job and any(map(_reads_last_job, found)):
                _check_last_job(dig, task, last_job, tasks)
            exports += found
        elif task.operator and task.operator not in _LEAVES_NO_JOB:
            last_query = "" if _writes_table(task) else queries.get(task.name, "")
            last_job = task
        if task.operator == "mail" and "you@example.com" in str(task.block.get("to")):
            message = "the alert is addressed to the placeholder you@example.com: fill in a real address"
            dig.add_warning(task.block.places["to"], "placeholder", message)
    has_history = any(export.request and export.request.settings.history for export in exports)
    _check_values(dig, ours)
    check_templates(dig, tasks, operators)
    # A task without a container image, in a workflow that runs in containers.
    uses_containers = any("docker" in task.params for task in tasks if task.operator in ("py", None))
    for task in ours:
        if operators[task.name] == FAILED and has_history and "history" not in task.params:
            message = (
                "this task writes no row of a killed run, because it gets no variable `history`: put `history` under "
                "`_export` of the workflow, and write `history: ${history}` in the settings"
            )
            dig.add_warning(task.place, "setting", message)
        if operators[task.name] == LIFT:
            _check_salt(dig, task)
        if operators[task.name] == LIFT and not any("store_last_results" in str(each.params) for each in tasks):
            message = "the counts are missing: set `store_last_results: true` on the td> task before the comparison"
            counting = [each.place for each in tasks[: tasks.index(task)] if each.operator == "td"]
            dig.add_finding(counting[-1] if counting else task.place, "setting", message)
        if uses_containers and not task.params.get_block("docker").get("image"):
            message = "hosted Treasure Workflow runs py> in a container: add `docker: {image: …}` to the task"
            dig.add_warning(task.block.places.get("docker", task.place), "docker", message)
    if other := find_other_version(dig.folder, __version__):
        message = (
            f"the folder has version {other} of the operator, but a task runs an installed one, such as this version "
            f"{__version__}: update the folder with `td-pinterest bundle FOLDER --update`"
        )
        dig.add_warning(Place(dig.path, 1), "version", message)
    return exports


def _reads_last_job(export: Export) -> bool:
    """Whether an export sends the rows of the last job before its task."""
    source = export.request.source if export.request else None
    return isinstance(source, Source) and not source.query and "job_id" not in export.places


def _writes_table(task: DigTask) -> bool:
    """Whether the job of a td> task writes its rows to a table, and so has none to export."""
    return not task.block.keys().isdisjoint(("insert_into", "create_table"))


def _check_last_job(dig: DigFile, task: DigTask, last: DigTask, tasks: Sequence[DigTask]) -> None:
    """Add a finding if the `last` job before an export has no rows, or may not have ended when the export begins."""
    pairs = zip(last.name.split("+"), task.name.split("+"), strict=False)
    name = "+".join(part for part, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    group = next((each.block for each in tasks if each.name == name), last.block)
    if _writes_table(last):
        message = (
            f"the last job before this task is that of {last.name}, which writes a table and has no rows to export"
        )
        dig.add_finding(task.place, "order", f"{message}: put {last.name} elsewhere, or give this task the query")
    elif group.get("_parallel") or last.block.get("_background"):
        message = f"{last.name} runs at the same time as this task, which may so find no job or an older one"
        dig.add_finding(task.place, "order", f"{message}: put it before the group, or give this task the query")


def _check_salt(dig: DigFile, task: DigTask) -> None:
    """Add a finding if a comparison has another control group than all exports in the workflows of the folder."""
    lift = task.params.get_block("lift")
    own = task.fill({name: str(lift.get(name)) for name in ("percent", "salt")})
    groups = [
        {name: str(value.get(name)) for name in own}
        for root in (dig.root, *(read_workflow(path).root for path in dig.other_workflows))
        for _, key, value in walk(root)
        if key == "control" and isinstance(value, Block)
    ]
    if groups and own not in groups and not is_unknown([own, groups]):
        other = " or ".join(f"percent {each['percent']} and salt {each['salt']}" for each in groups)
        message = f"no export of this folder has this control group, but one with {other}: write the same in both"
        dig.add_finding(lift.places.get("salt", task.place), "setting", message)


def _find_operator(dig: DigFile, task: DigTask) -> str:
    """Return the operator of this package that a task runs, or "". Adds a finding about a misspelt one."""
    name = str(task.command or "").removesuffix(".run") if task.operator == "py" else ""
    if not name or name in OPERATORS:
        return name
    module = name.partition(".")[0]
    is_ours = module == "td_pinterest_op"
    is_of_user = not is_ours and ((dig.folder / module).is_dir() or (dig.folder / f"{module}.py").is_file())
    if is_of_user or dig.has_finding(task.place):  # of an older version
        return ""
    near = find_nearest(name, OPERATORS, cutoff=0.8 if is_ours else 0.94)
    if is_ours or near:
        suggestion = f"did you mean {near}?" if near else "an export is td_pinterest_op.export.PinterestExport"
        dig.add_finding(task.place, "class", f"{name} is not an operator of td_pinterest_op: {suggestion}")
    return near


def _check_our_task(dig: DigFile, task: DigTask, operator: str, last_query: str | None) -> list[Export]:
    """Add to `dig` what is wrong with a task of the operator class `operator`, and return the exports that it makes.

    Judged are its settings, its secrets, the source of its rows, and its opt-out and consent lists. `last_query`: the
    SQL of the last job before the task, whose rows it exports if it names no other source; "" if the SQL is not known,
    None if there is no such job.
    """
    environ = read_environ(dig, task)
    if ".history." in operator and "TD_API_KEY" not in environ:
        message = "the task gets no TD_API_KEY: add `TD_API_KEY: ${secret:td.apikey}` under its _env"
        dig.add_finding(task.block.places.get("_env", task.place), "env", message)
    endpoint = str(task.params.get_block("td").get("endpoint") or _US)
    if endpoint != _US and "TD_API_SERVER" not in environ and not is_unknown(endpoint):
        message = f"td> asks {endpoint}, and this task {_US}: add `TD_API_SERVER: https://{endpoint}/` under its _env"
        dig.add_finding(task.block.places.get("_env", task.place), "env", message)
    has_job = last_query is not None or dig.is_called_by_others
    if not has_job and "td.last_job_id" in str(task.params.get("job_id")):
        message = "no td> task stands before this one, so there is no td.last_job_id: move the td> task before it"
        dig.add_finding(task.params.places["job_id"], "order", message)
    exports = list(read_exports(dig, task, operator, environ, has_earlier_job=has_job))
    earlier: dict[tuple[str | None, ...], bool] = {}  # whether none of the entries for an audience replaces people
    for export in exports:
        request = export.request
        # A misplaced `control` would make its column seem to be one too many.
        is_known = export.unknown.isdisjoint(("columns", "records", "control")) and not any(
            map(dig.has_finding, task.block.places.values())
        )
        if request and isinstance(request.source, Source) and is_known:
            sql = request.source.query or ("" if "job_id" in export.places else last_query or "")
            lists = {name: each.query for name, each in request.lists.items()}
            same = {"the query itself": sql, "also consent": lists.get(CONSENT, "")}
            for name, other in same.items():
                if other.strip() and other.split() == lists.get(SUPPRESS, "").split():
                    message = f"suppress is {name}, so everybody is withheld: name only people who must not be sent"
                    dig.add_finding(export.find_place(SUPPRESS), "setting", message)
            for name, text in find_column_problems(request.settings, query=sql, lists=lists):
                what = text.partition("cannot be exported: ")[2] or text.replace("the result of job  ", "the result ")
                setting = [key for key in ("columns", "control") if f"`{key}` names" in what]
                place = export.find_place(*setting, name)
                if not setting:
                    text = {"query": sql, **lists}[name]
                    column = re.search(r'column "([^"]+)" (?:is|can)', what)
                    place = dig.find_query(text, at=text.rfind(column[1]) if column else -1) or place
                dig.add_finding(place, "columns", f"{export.entry and f'entry {export.entry}: '}{name}: {what}")
        settings = request.settings if request else None
        if not isinstance(settings, Settings) or "action" in export.unknown:
            continue
        _check_action(dig, export, settings)
        if any(name.startswith(("ad_account", "audience_")) for name in export.unknown):
            continue
        target = (settings.ad_account_id, settings.audience_id or settings.audience_name)
        adds = settings.action is Create.action and settings.if_exists == "add"
        changes_only = adds or settings.action in (Add.action, Remove.action)
        if target in earlier and not (changes_only and earlier[target]):
            message = (
                f"an earlier entry changes audience {target[1]} too, at the same time, and one of the two replaces its "
                "people: which one ends last is not known. Leave one out, or put it into a task of its own"
            )
            dig.add_finding(export.places[""], "two-entries", message)
        earlier[target] = changes_only and earlier.get(target, True)
    return exports


def _check_action(dig: DigFile, export: Export, settings: Settings) -> None:
    """Add findings to `dig` about an export's action.

    It may not fit the workflow's schedule or the task's opt-out and consent lists, or its ids may still be the shipped
    placeholders.
    """
    action = settings.action
    place = export.find_place("action", "result_settings")
    schedule = dig.root.get_block("schedule")
    is_dated = "audience_name" in export.unknown
    if schedule and action.only_once and settings.if_exists == "fail" and not is_dated:
        message = f"{action.name} fails from the second scheduled run on, because the audience exists then"
        instead = "set if_exists: add or replace" if "if_exists" in action.uses else "run it once, by hand"
        dig.add_finding(place, "create-scheduled", f"{message}: {instead}")
    if schedule and action.leaves_lists:
        message = (
            f"{action.name} leaves an unused customer list behind at every run, and Pinterest needs a day or two to "
            "fill a new one: send only the differences with mirror_current_audience, or run it by hand"
        )
        dig.add_warning(place, "replace-scheduled", message)
    if schedule and settings.rebuild and "rebuild" not in export.unknown:
        message = (
            "every run replaces all people and leaves an unused customer list behind: remove the line, and pass it to "
            "one run with settings_for_this_run"
        )
        dig.add_warning(export.find_place("rebuild"), "replace-scheduled", message)
    is_filled_in = settings.audience_id and not any(name.startswith("audience_id") for name in export.unknown)
    if is_filled_in and settings.expected_audience_name == _PLACEHOLDER:
        message = f"this is not the audience's name but the placeholder `{_PLACEHOLDER}`: fill in the audience's name"
        place = export.find_value("expected_audience_name") or export.find_place("expected_audience_name")
        dig.add_finding(place, "placeholder", message)
    blank = [name for name in export.unknown if name.startswith("audience_id") and export.settings[name] == ""]
    if blank and settings.expected_audience_name not in (None, _PLACEHOLDER):
        message = "the audience's name is filled in, but not its id: fill it in, too"
        dig.add_finding(export.find_value(blank[0]) or export.find_place(blank[0]), "placeholder", message)


def _read_td_query(dig: DigFile, task: DigTask) -> str:
    """Return the SQL of a td> task, or "" if only a run knows it. Adds findings about its database and its file."""
    has_database = "database" in task.params or "database" in task.params.get_block("td")
    if not has_database and not dig.is_called_by_others:
        message = "the query needs a database: give the task a `database`, or set td.database under `_export`"
        dig.add_finding(task.place, "database", message)
    command = task.command
    inline = task.block.get("query") or (command.get("data") if isinstance(command, Block) else None)
    name = task.fill(command) if isinstance(command, str) and not inline else ""
    if not name or is_unknown(name):
        return str(inline or "")
    path = task.folder / name
    try:
        sql = path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):  # such as SQL in place of a file's name
        dig.add_finding(task.place, "file", f"there is no file {name} in the folder {task.folder}: correct the name")
        return ""
    dig.queries[path] = sql
    if not COMMENT_OR_STRING.sub("", sql).strip():
        dig.add_finding(task.place, "file", f"{name} is blank: write a query into it")
    engine = task.params.get("engine") or task.params.get_block("td").get("engine")
    try:
        if engine != "hive":  # whose queries may begin with statements such as SET
            require_one_statement(sql, name=name)
    except SettingsError as error:
        dig.add_finding(find_second_statement(dig, sql) or task.place, "query", str(error))
    return sql


def _check_values(dig: DigFile, ours: Sequence[DigTask]) -> None:
    """Add findings about numbers that digdag may change, placeholders, and settings for one run."""
    used = " ".join(str(task.fill([dict(task.block), task.exported.get("audiences")])) for task in ours)
    for block, key, value in dig.walk():
        place = block.places[key]
        if key == FOR_THIS_RUN:
            message = f"{key} is for one run: pass it with -p, and leave it out of the workflow"
            dig.add_finding(place, "setting", message)
        if isinstance(value, int) and has_lost_digits(value) and str(value) in used:
            message = "a number of more than 15 digits can change when digdag reads it: put the id in quotes"
            dig.add_finding(place, "unquoted-id", message)
        if isinstance(value, str) and "${secret:http.uri}" in value:
            message = "digdag uses a secret http.uri as the address of every http> task: give it another name"
            dig.add_finding(place, "secret-name", message)
        if isinstance(value, str) and _TO_BE_FILLED_IN.fullmatch(value):
            dig.add_finding(place, "placeholder", f"`{value.strip()}` is a placeholder: fill in the real value")
