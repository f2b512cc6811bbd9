"""Settings, secrets, rows and lists of our tasks as a run would read them, with stand-ins for what only a run knows.

The operator's own functions read them, also for each entry of a list of audiences and for an activation. What a run
would refuse becomes a finding at the line of its key.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from td_pinterest_op.activation import PARAMETERS as ACTIVATION_PARAMETERS
from td_pinterest_op.activation import add_activation_settings
from td_pinterest_op.audiences.actions import EXPORT
from td_pinterest_op.audiences.request import read_task_request
from td_pinterest_op.cli.lint.dig_file import (
    TEMPLATE,
    TO_FILL_IN,
    Block,
    DigFile,
    DigTask,
    Place,
    find_list,
    find_variable,
)
from td_pinterest_op.cli.lint.environment import PLACEHOLDER, SECRET_TEMPLATE, check_secret
from td_pinterest_op.cli.lint.problems import Export, add_problems
from td_pinterest_op.cli.lint.selected_columns import COMMENT_OR_STRING
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.history import read_control_share
from td_pinterest_op.many import build_entry_task, read_at_once, read_entries
from td_pinterest_op.settings.parse import parse_raw_settings
from td_pinterest_op.settings.table import (
    CREDENTIALS,
    ERASURE,
    STATUS,
    TASK_PARAMETERS,
    SettingsTable,
    build_variable_name,
)
from td_pinterest_op.settings.types import find_nearest, is_left_out, names_secret
from td_pinterest_op.stats import LISTS
from td_pinterest_op.task_runtime.task import Task, parse_api_key, read_sql

EXPORT_TASK = "td_pinterest_op.export.PinterestExport"
MANY = "td_pinterest_op.many.Many"
ACTIVATION = "td_pinterest_op.activation.PinterestActivation"
FAILED = "td_pinterest_op.history.Failed"
LIFT = "td_pinterest_op.history.Lift"


class Operator(NamedTuple):
    """What a task with an operator of this package may have, and what it stores."""

    table: SettingsTable[Any] | None  # of its settings
    parameters: tuple[str, ...]
    output: str = ""  # the name of the workflow variable with its figures


# By the name that a workflow has after `py>:`.
OPERATORS: Mapping[str, Operator] = {
    EXPORT_TASK: Operator(EXPORT, TASK_PARAMETERS, "pinterest"),
    MANY: Operator(EXPORT, (*TASK_PARAMETERS, "audiences", "at_once"), "pinterest_many"),
    ACTIVATION: Operator(EXPORT, (*TASK_PARAMETERS, *ACTIVATION_PARAMETERS), "pinterest"),
    "td_pinterest_op.status.AudienceStatus": Operator(STATUS, ("database",), "pinterest_status"),
    "td_pinterest_op.erase.PinterestErase": Operator(ERASURE, TASK_PARAMETERS, "pinterest_erasure"),
    FAILED: Operator(None, ("database", "history", "ad_account_id", "audience_id", "audiences")),
    LIFT: Operator(None, ("database", "history", "ad_account_id", "audience_id"), "pinterest_lift"),
}
# Valid values in place of those that only a run knows. What is not here, a run can do without.
_UNKNOWN_QUERY = "SELECT * FROM table_that_the_run_knows"
_ACTIVATION = {"segment_name": "known_to_the_run", "activation_actions_table": "database.table"}
_PARAMETERS = {"database": "known_to_the_run", "segment": "known_to_the_run", "job_id": "1", **_ACTIVATION}
_SETTINGS: Mapping[str, object] = {
    "type": "pinterest",
    "audience_type": "customer_list",
    "audience_name": "name",
    "country": "US",
    "percentage": "1",
}


def is_unknown(value: object) -> bool:
    """Whether a value has text with a template that could not be filled in: only a run knows it."""
    if isinstance(value, dict | list):
        return any(map(is_unknown, value.values() if isinstance(value, dict) else value))
    return isinstance(value, str) and "${" in SECRET_TEMPLATE.sub("", value)


def read_exports(
    dig: DigFile, task: DigTask, operator: str, environ: Mapping[str, str], *, has_earlier_job: bool
) -> Iterator[Export]:
    """Yield the exports that a task of the operator class `operator` makes: one, or one for each entry of `audiences`.

    Adds what is wrong to the findings of `dig`; an export with wrong settings is yielded without a request. `environ`:
    the environment variables that the task's `_env` gives it, with placeholders for secrets. `has_earlier_job`: whether
    an earlier task may have run a job whose rows the task exports.
    """
    table = OPERATORS[operator].table
    given = {name: value for name, value in task.params.items() if name[:1] not in ("_", "+")}
    if operator == LIFT and not is_unknown(given.get("lift")):
        try:
            read_control_share(Task(params=task.fill(given), environ=environ))
        except SettingsError as error:
            lift = task.params.get_block("lift")
            dig.add_finding(lift.places.get("percent", lift.place), "setting", str(error))
        settings = {name: given.get(name) for name in ("ad_account_id", "audience_id")}
        known = {name: None if is_unknown(value) else value for name, value in task.fill(settings).items()}
        yield Export(settings=known, places={"": task.block.place}, unknown=frozenset(), request=None)
    if table is None:
        return
    written = task.params.get_block("result_settings")
    if _has_wrong_shape(dig, task, operator):
        return
    for key in CREDENTIALS:
        if key.name in written:
            check_secret(dig, written, key.name, variable=build_variable_name(key.secret))
    params = _replace_unknown(dig, task, task.fill(given), task.params)
    if is_unknown(params.get("result_settings")) and not isinstance(params["result_settings"], dict):
        return  # an activation may pass on all settings as one text
    called = {"database": "called"} if dig.is_called_by_others else {}
    job = {"last_job_id": "1"} if has_earlier_job else {}
    params["td"] = {**called, **job, **(params["td"] if isinstance(params.get("td"), dict) else {})}
    places = {**task.block.get_block("_env").places, **task.params.places, **written.places, "": task.block.place}
    places |= {name: place for name, place in task.params.get_block("td").places.items() if name == "engine"}
    if "_env" not in task.block:  # but under `_export`
        places.pop("_env", None)
    listed = task.params.get("audiences")
    items = find_list(listed, task.exported) or [listed]
    filled = task.fill(items)
    if any(isinstance(each, str) and is_unknown(each) for each in filled):
        # In place of unknown entries, one of an unknown action: the task's own keys can be judged.
        params["audiences"] = [each if isinstance(each, dict) else {"action": "${action}"} for each in filled]
    own = Task(params=params, environ=environ)
    values = _find_values(dig, task, written)
    if operator != MANY:
        yield from _read_export(dig, own, operator, table, places, values)
        return
    place = places.get("audiences", places[""])
    blocks = [each if isinstance(each, Block) else Block(place) for each in items]
    try:
        entries = read_entries(own)
        read_at_once(own)
    except SettingsError as error:
        number = re.search(r"entry (\d+)", str(error))
        place = (
            blocks[min(int(number[1]), len(blocks)) - 1].place if number else places.get(error.problems[0].key, place)
        )
        dig.add_finding(place, "setting", str(error))
        return
    blocks += [Block(place)] * len(entries)  # a list that is written as text has one block
    for block, (name, entry) in zip(blocks, entries.items(), strict=False):
        of_entry = {**places, **block.places, **block.get_block("result_settings").places, "": block.place}
        known = _replace_unknown(dig, task, entry, block)
        of_settings = values | _find_values(dig, task, block)
        yield from _read_export(dig, own, operator, table, of_entry, of_settings, entry=known, name=name)


def _find_values(dig: DigFile, task: DigTask, settings: Block) -> dict[str, Place]:
    """Return the places of values: of the variable that a setting names, and of each key of a mapping.

    Their names are those of the settings, with that of the key as in `control percent`. Adds a finding about an id that
    is a mapping.
    """
    values: dict[str, Place] = {}
    for name, value in settings.items():
        template = TEMPLATE.fullmatch(str(value).strip())
        variable = template[1].strip() if template else ""
        found = find_variable(variable, task.exported) if variable else value
        if variable and isinstance(found, Block) and name in EXPORT.by_name and EXPORT.by_name[name].type.is_id:
            keys = " or ".join(f"${{{variable}.{key}}}" for key in found)
            dig.add_finding(settings.places[name], "template", f"{variable} is a mapping, not an id: write {keys}")
            continue
        if isinstance(found, Block):
            values |= {f"{name} {key}": place for key, place in found.places.items()}
        if place := task.find_definition(variable):
            values[name] = place
    return values


def _has_wrong_shape(dig: DigFile, task: DigTask, operator: str) -> bool:
    """Whether a task's settings, `_env` or list is not where, or not as, a run reads it. Adds a finding then."""
    settings = task.params.get_block("result_settings")
    listed = task.params.get("audiences")
    items = find_list(listed, task.exported)
    places = task.params.places
    table = OPERATORS[operator].table
    misspelt = find_nearest("result_settings", task.block.keys() - {"result_settings"}, cutoff=0.85)
    if misspelt and "result_settings" not in task.params and dig.has_finding(task.block.places[misspelt]):
        return True
    moved = [name for name in task.block if table and name in table.by_name]
    if is_left_out(task.block.get("result_settings", "none")) and len(moved) > 1:
        message = f"result_settings is empty: move {' and '.join(moved)} to the right, below it"
        dig.add_finding(places["result_settings"], "setting", message)
    elif "_env" in settings:
        message = "_env stands inside result_settings: move it to the left, in line with result_settings"
        dig.add_finding(settings.places["_env"], "env", message)
    elif isinstance(task.params.get("_env"), list):
        dig.add_finding(places["_env"], "env", "_env is a list, and must be a mapping: remove the dashes")
    elif isinstance(listed, Block) and "audiences" in listed:
        message = "audiences has a key `audiences` itself: include the file under `_export`, and leave this line out"
        dig.add_finding(places["audiences"], "setting", message)
    elif items and isinstance(items[0], list):
        message = "audiences is a list of lists: in a for_each>, name the variable of the loop"
        dig.add_finding(places["audiences"], "setting", message)
    else:
        return False
    return True


def _replace_unknown(dig: DigFile, task: DigTask, values: Mapping[Any, Any], block: Block) -> dict[Any, Any]:
    """Return parameters of a task, with valid stand-ins for what only a run knows, and SQL for names of files.

    `block`: the mapping in which the parameters are written, with their places.
    """
    known: dict[Any, Any] = {}
    for name, value in values.items():
        template = TEMPLATE.fullmatch(str(block.get(name)).strip())
        if name in ("query", *LISTS) and template and value == "":
            message = f"{name}: {template[0]} is blank: give it a value"
            dig.add_finding(task.find_definition(template[1]) or block.places[name], "setting", message)
            known[name] = _UNKNOWN_QUERY
        elif name in ("query", *LISTS):
            known[name] = _read_query(dig, task.folder, block.places.get(name, block.place), name, value)
        elif name == "result_settings":
            lists = {each: value[each] for each in LISTS if each in value} if isinstance(value, dict) else {}
            read = _replace_unknown(dig, task, lists, block.get_block(name))
            known[name] = {**value, **read} if lists else value
        elif name in EXPORT.by_name or not isinstance(value, str) or not is_unknown(value):
            known[name] = value
        elif name in _PARAMETERS:
            known[name] = _PARAMETERS[name]
    return known


def _read_query(dig: DigFile, folder: Path, place: Place, name: str, value: object) -> object:
    """Return the SQL that the parameter `name` is, or whose file in `folder` it names. Adds a finding if there is none.

    In place of a query that a run refuses, or that only a run knows, return a stand-in.
    """
    text = str(value).strip()
    if is_left_out(value) or is_unknown(value):
        is_word = len(TEMPLATE.sub("x", text).split()) < 2  # the name of a file, or all of the query
        return _UNKNOWN_QUERY if is_unknown(value) and is_word else value
    try:
        sql = read_sql(text, key=name, folder=folder)
    except SettingsError as error:
        if "contains a template" in str(error):
            path = folder / text
            place = Place(path, path.read_text(encoding="utf-8").partition("${")[0].count("\n") + 1)
        dig.add_finding(place, "file", str(error))
        return _UNKNOWN_QUERY
    if not isinstance(value, str) or len(COMMENT_OR_STRING.sub(" ", sql).split()) < 2:
        message = f"{name} must be SQL, or the name of a file with SQL that ends in .sql"
        message = message if sql == text else f"{text} has no query, but comments at most: write the query into it"
        dig.add_finding(place, "setting", message)
        return _UNKNOWN_QUERY
    if sql != text:
        dig.queries[folder / text] = sql
    return sql


def _read_export(
    dig: DigFile,
    task: Task,
    operator: str,
    table: SettingsTable[Any],
    places: Mapping[str, Place],
    values: Mapping[str, Place],
    *,
    entry: Mapping[object, Any] | None = None,
    name: str = "",
) -> Iterator[Export]:
    """Yield the export of a task, or of an `entry` of its list, if it can be read. Adds findings at `places`.

    Those about a value are added at its place in `values`, if it has one. `name`: of the entry.
    """
    try:
        if operator == ACTIVATION:
            task = add_activation_settings(replace(task, params={**_ACTIVATION, **task.params}))
        if entry is not None:
            task = build_entry_task(task, entry, name)
        written = parse_raw_settings(task.params.get("result_settings"))
    except SettingsError as error:
        for problem in error.problems:
            dig.add_finding(places.get(problem.key, places[""]), "setting", problem.text)
        return
    settings = {str(key): value for key, value in written.items()}
    # What is blank may yet be filled in, as the run insists: in an entry an id, in an activation by the console.
    blank = {ACTIVATION: "", MANY: "audience_id"}.get(operator, "-")
    credentials = [key.name for key in CREDENTIALS]
    unknown = {
        key
        for key, value in settings.items()
        # A secret in another setting is an error, whatever the rest of the text is.
        if (is_unknown(value) and (key in credentials or not names_secret(value)))
        or (is_left_out(value) and key.startswith(blank))
    }
    if settings.get("audience_name") == _ACTIVATION["segment_name"]:
        unknown.add("audience_name")
    # With valid values in place of credentials, and of the unknown settings that a run may need.
    filled = {}
    for key, value in settings.items():
        setting = table.by_name.get(key)
        is_secret = setting is not None and setting.is_credential and not is_left_out(value)
        if key not in unknown:
            filled[key] = PLACEHOLDER if is_secret and not SECRET_TEMPLATE.search(str(value)) else value
        elif setting is None or setting.type.is_id or key in _SETTINGS:  # a name that is no setting is reported
            filled[key] = _SETTINGS.get(key, "1")
    known = settings | {key: "" if settings[key] == TO_FILL_IN else None for key in unknown}
    export = Export(settings=known, places=places, unknown=frozenset(unknown), request=None, entry=name, values=values)
    task = replace(task, params={**task.params, "result_settings": filled})
    try:
        request = read_task_request(task, table=table)
        if request.settings.history:  # without a key, a run would only warn
            parse_api_key(task.environ)
    except SettingsError as error:
        add_problems(dig, export, error, table, task.params)
        yield export
        return
    for warning in request.settings.warnings if entry is None and "action" not in unknown else ():
        named = [key for key in settings if re.search(rf"\b{re.escape(key)}\b", warning)]
        dig.add_warning(export.find_place(*named, "result_settings"), "setting", warning)
    yield replace(export, request=request)
