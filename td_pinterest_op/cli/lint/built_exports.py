"""Exports that an operator builds when it runs: from an entry of the list `audiences`, or for an activation.

The operator's own functions build them here as well, with stand-ins for what is known only during a run.
"""

import bisect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from td_pinterest_op.activation import PARAMETERS as ACTIVATION_PARAMETERS
from td_pinterest_op.activation import add_activation_settings
from td_pinterest_op.cli.lint.dig_file import DigFile, Task, UnknownValueError, Value
from td_pinterest_op.cli.lint.secrets import SECRET_TEMPLATE
from td_pinterest_op.cli.lint.settings import fill_setting
from td_pinterest_op.errors import SettingsError, SettingsErrorCollector
from td_pinterest_op.many import build_entry_task, read_entries
from td_pinterest_op.records.hashed_query import ENGINES, find_hashing_reason, require_hashable, require_one_statement
from td_pinterest_op.settings.parse import TASK_PARAMETERS
from td_pinterest_op.stats import LISTS
from td_pinterest_op.workflow import task as workflow

_PARAMETERS = (*TASK_PARAMETERS, *ACTIVATION_PARAMETERS, "concurrent")
_UNKNOWN = "${}"
# Valid values of parameters, and of keys of an entry, in place of those that only a run knows.
_STAND_INS = {**dict.fromkeys((*TASK_PARAMETERS, "segment", "concurrent"), "1"), "engine": "presto", "column": "email"}
# What Audience Studio passes on.
_OF_AUDIENCE_STUDIO = {"segment_name": "segment", "activation_actions_table": "database.table"}


def is_unknown(value: object) -> bool:
    """Whether a value is text with a template that could not be filled in: only a run knows it."""
    return "${" in SECRET_TEMPLATE.sub("", value) if isinstance(value, str) else False


def is_partly_unknown(value: object) -> bool:
    """Whether a value, or any value in a mapping or list, is known only to a run."""
    if isinstance(value, (dict, list)):
        return any(map(is_partly_unknown, value.values() if isinstance(value, dict) else value))
    return is_unknown(value)


def read_parameters(dig: DigFile, task: Task) -> dict[str, Any]:
    """Return the parameters that an export reads from its task. Stand-ins replace values that only a run knows."""
    td = task.exported.get("td")
    params: dict[str, Any] = {"td": {"database": "database", **(td if isinstance(td, dict) else {})}}
    for name in _PARAMETERS:
        if value := task.value.get(name):
            try:
                params[name] = task.fill_templates(value)
            except UnknownValueError:
                params[name] = _UNKNOWN
        elif name in task.exported:
            params[name] = task.exported[name]
    return _make_readable(dig, params)


def build_exports(dig: DigFile, task: Task, *, is_list: bool) -> Iterator[tuple[Value, workflow.Task]]:
    """Yield each export of a task as its operator builds it, with the YAML mapping in which its keys are written.

    Adds findings about exports that the operator would refuse. Leaves out exports whose text only a run knows.
    `is_list`: whether the exports are those of the list `audiences`.
    """
    shared = task.value.get("result_settings")
    params = read_parameters(dig, task) | ({"result_settings": _fill_known(task, shared)} if shared else {})
    own = workflow.Task(params=params, environ={})
    if is_unknown(params.get("result_settings")):
        return
    if not is_list:
        own = workflow.Task(params=_OF_AUDIENCE_STUDIO | params, environ={})
        build = partial(add_activation_settings, own)
        yield from _try_build(dig, join_places(task.value, shared), build, skip=is_unknown(params.get("later_runs")))
        return
    for entry_place, name, entry in _read_entries(dig, task):
        place = join_places(task.value, shared, entry_place, entry_place.get("result_settings"))
        build = partial(build_entry_task, own, entry, name)
        yield from _try_build(dig, place, build, skip=is_unknown(entry.get("result_settings")))


def check_source(
    dig: DigFile,
    place: Value,
    params: Mapping[str, Any],
    known: Mapping[str, Any],
    environ: Mapping[str, str],
    *,
    is_known_job: bool,
) -> None:
    """Add findings about an export's source of rows, and its lists. `known`: the settings that are known before a run.

    `is_known_job`: whether an earlier task may have run a job whose rows the export reads.
    """
    action = known.get("action")
    params = dict(params)
    if is_known_job:
        params["td"] = {"last_job_id": "1", **params["td"]}
    task, errors, sources = workflow.Task(params=params, environ={}), SettingsErrorCollector(), {}
    if action is None or action.reads_rows:
        if "TD_API_KEY" not in environ:
            message = "the task gets no TD_API_KEY: add `TD_API_KEY: ${secret:td.apikey}` under its _env"
            dig.add_error(place.get("_env") or place, "env", message)
        sources["query"] = errors.call(workflow.read_source, task)
    if action is None or action.adds_people:
        sources |= {name: errors.call(workflow.read_list_source, task, name) for name in LISTS}
    if sources.get("query") and (needed_by := find_hashing_reason(action, known.get("hash_in"))):
        errors.call(require_hashable, sources["query"], needed_by=needed_by)
    for name, source in sources.items():
        if source and source.query and source.engine in ENGINES:
            errors.call(require_one_statement, source.query, name=name)
    for error in errors:
        dig.add_refusal(place, "source", error)


def _read_entries(dig: DigFile, task: Task) -> Iterator[tuple[Value, str, Mapping[object, Any]]]:
    """Yield the place, name and keys of each entry of `audiences`. If a run would refuse the list, add a finding."""
    written = dig.root.get("_export", "audiences") if dig.root else None
    items = written.value if written and isinstance(written.value, list) else []
    if not written or any(is_unknown(text.value) for text in (written, *items)):
        return
    listed = _fill_known(task, written)
    entries = _parse_entries(listed)
    if isinstance(entries, SettingsError):
        # The list is accepted up to the entry that is wrong, and refused from there on.
        ends = range(1, len(items))
        wrong = bisect.bisect(ends, False, key=lambda end: isinstance(_parse_entries(listed[:end]), SettingsError))
        dig.add_refusal(items[wrong] if items else written, "setting", entries)
        return
    for place, (name, entry) in zip(items or [written] * len(entries), entries.items(), strict=True):
        yield place, name, _make_readable(dig, entry)


def _parse_entries(listed: object) -> Mapping[str, Mapping[object, Any]] | SettingsError:
    """Return the entries of a list as a run reads them, or the error that a run raises."""
    try:
        return read_entries(workflow.Task(params={"audiences": listed}, environ={}))
    except SettingsError as error:
        return error


def _try_build(
    dig: DigFile, place: Value, build: Callable[[], workflow.Task], *, skip: bool
) -> Iterator[tuple[Value, workflow.Task]]:
    """Yield `place` and the task that `build` returns; nothing if `skip`. Add findings if it raises SettingsError."""
    try:
        if not skip:
            yield place, build()
    except SettingsError as error:
        dig.add_refusal(place, "setting", error)


def _fill_known(task: Task, value: Value) -> Any:
    """Return a YAML value as plain types. Templates that only a run can fill in are left unchanged."""
    if isinstance(value.value, dict):
        return {name: _fill_known(task, member) for name, member in value.value.items()}
    if isinstance(value.value, list):
        return [_fill_known(task, item) for item in value.value]
    filled = fill_setting(task, value)
    return value.value if filled is None else filled


def _make_readable(dig: DigFile, values: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return parameters with stand-ins for unknown values, and the content of query files that they name."""
    readable = {name: _STAND_INS.get(name, value) if is_unknown(value) else value for name, value in values.items()}
    for name in ("query", *LISTS):
        if (file := str(readable.get(name, "")).strip()).lower().endswith(".sql"):
            path = dig.folder / file
            sql = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
            # Whether the file is there, has a query, and has no templates are other rules.
            readable[name] = "1" if not sql or "${" in sql or sql.lower().endswith(".sql") else sql
    return readable


def join_places(*values: Value | None) -> Value:
    """Merge YAML mappings, of which the last wins for each key. Return a mapping at the place of the last one."""
    places = [value for value in values if value]
    members = {name: member for value in places for name, member in value.mapping.items()}
    return replace(places[-1], value=members)
