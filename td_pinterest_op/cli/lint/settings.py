"""`result_settings` of a task in a .dig file, with what the operator's parser says at their lines."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from td_pinterest_op.audiences.actions import EXPORT
from td_pinterest_op.cli.lint.dig_file import DigFile, Task, UnknownValueError, Value, walk_tasks
from td_pinterest_op.cli.lint.secrets import PLACEHOLDER, check_plain_secret, check_secret_names
from td_pinterest_op.errors import Problem
from td_pinterest_op.many import ENTRY_KEYS
from td_pinterest_op.settings.parse import TASK_PARAMETERS, ParsedSettings, parse_values
from td_pinterest_op.settings.table import CONNECTION, CREDENTIALS, ERASURE, STATUS, SettingsTable, build_variable_name

# The operators that have settings, by what a workflow names after `py>:`.
TABLES: Mapping[str, SettingsTable[Any]] = {
    "td_pinterest_op.export.PinterestExport": EXPORT,
    "td_pinterest_op.status.AudienceStatus": STATUS,
    "td_pinterest_op.status.AudienceStatus.look": STATUS,
    "td_pinterest_op.erase.PinterestErase": ERASURE,
    "td_pinterest_op.many.Many.renew": CONNECTION,
}
_NAMES = frozenset(name for table in TABLES.values() for name in table.by_name)
MANY = "td_pinterest_op.many.Many.export"
ACTIVATION = "td_pinterest_op.activation.PinterestActivation"
OPERATORS = frozenset(
    {
        *TABLES,
        # These complete their settings when they run: from a list, or from what Audience Studio passes on.
        MANY,
        "td_pinterest_op.many.Many.gate",
        ACTIVATION,
        # These have no settings.
        "td_pinterest_op.history.Failed",
        "td_pinterest_op.history.Lift",
    }
)
_CODES = {"environment": "env", "unknown": "unknown-setting"}
# What the shipped config/pinterest.yml has until somebody fills it in.
_TEMPLATE_NAME = "the name of that audience"
_FILL_IN_NAME = (
    f"this is not the audience's name but the placeholder `{_TEMPLATE_NAME}`: fill in the audience's name, next to "
    "its id"
)
# The settings of which an export needs one, whatever its name.
_ALTERNATIVES = ("audience_id", "ad_account_id")


def check_settings(
    dig: DigFile, task: Task, environ: Mapping[str, str], *, table: SettingsTable[Any] = EXPORT
) -> Mapping[str, Any]:
    """Check a task's settings by `table`, and add findings. Return the settings whose values are known before a run."""
    written = task.value.get("result_settings")
    if written is None:
        dig.add_error(
            task.value, "setting", "the task has no result_settings: add them (the README shows the shortest form)"
        )
        return {}
    if isinstance(written.value, str) and "${" in written.value:
        return {}  # settings as one text may come from an activation, when the workflow runs
    for key in CREDENTIALS:
        value, variable = written.get(key.name), build_variable_name(key.secret)
        check_plain_secret(dig, value, name=key.name, variable=variable)
        if value is not None:
            check_secret_names(dig, value, variable=variable)
    known, unknown = _split_known_settings(_fill_settings(task, written))
    parsed = parse_values(known if written.mapping else written.to_plain(), table=table, environ=environ)
    _add_problem_findings(dig, written, [problem for problem in parsed.problems if not _may_vanish(problem, unknown)])
    if table is not EXPORT or "action" in unknown:
        return {}
    has_audience = any(known.get(name) for name in known if name.startswith("audience_id"))
    if has_audience and known.get("expected_audience_name") == _TEMPLATE_NAME:
        dig.add_error(written.get("expected_audience_name") or written, "placeholder", _FILL_IN_NAME)
    _add_unused_findings(dig, written, parsed)
    for name in parsed.blank:
        dig.add_warning(
            written.get(name) or written,
            "blank-setting",
            f"{name} is blank and has no effect: give it a value, or remove the line",
        )
    return {name: value for name, value in parsed.values.items() if name not in unknown}


def check_built_settings(
    dig: DigFile, place: Value, values: Mapping[str, object], environ: Mapping[str, str], *, is_complete: bool
) -> Mapping[str, Any]:
    """Check settings that an operator puts together, and add findings. Return those that are known before a run.

    `values`: None for a value that only a run knows. `is_complete`: whether a run adds no settings.
    """
    known, unknown = _split_known_settings(values)
    parsed = parse_values(known, table=EXPORT, environ=environ)
    # What is blank yet has to be filled in: the run itself insists on it.
    may_miss = not is_complete or "" in known.values()
    problems = [each for each in parsed.problems if not (may_miss and each.code == "missing")]
    _add_problem_findings(dig, place, [each for each in problems if not _may_vanish(each, unknown)])
    return {} if "action" in unknown else {name: each for name, each in parsed.values.items() if name not in unknown}


def check_parallel_limit(dig: DigFile, task: Task) -> None:
    """Add a finding if the limit of `_parallel` differs from the task's parameter `concurrent`."""
    limit, concurrent = task.parents[-1].get("_parallel", "limit"), task.exported.get("concurrent")
    if limit and concurrent and str(limit.value) != str(concurrent):
        dig.add_error(
            limit,
            "setting",
            f"the limit of _parallel is {limit.value}, but concurrent is {concurrent}: set both to the same value",
        )


def _fill_settings(task: Task, written: Value) -> dict[str, object]:
    """Return the settings in the YAML value `written`, and None for each whose value is known only during a run."""
    return {name: fill_setting(task, value) for name, value in written.mapping.items()}


def _split_known_settings(values: Mapping[str, object]) -> tuple[dict[str, object], set[str]]:
    """Return the settings that are known before a run, and the names of all others, whose value is None."""
    unknown = {name for name, value in values.items() if value is None and name in _NAMES}
    # An unknown name is reported, whatever its value.
    known = {name: PLACEHOLDER if value is None else value for name, value in values.items() if name not in unknown}
    # A credential in plain text may be any word, and the parser would mask that word in every message.
    known |= {key.name: PLACEHOLDER for key in CREDENTIALS if key.name in known}
    for name in _ALTERNATIVES:
        if any(each.startswith(name) for each in unknown):
            unknown |= {f"{name}s", *(key.name for key in EXPORT.settings if key.name.startswith(name))}
    return known, unknown


def fill_setting(task: Task, value: Value) -> object:
    """Return a setting's value with its templates filled in, or None if the value is known only during a run.

    A template that is still blank counts as unknown (None): the user may yet enter its value in a file of settings, and
    a run rejects a blank value.
    """
    try:
        filled = task.fill_templates(value)
    except UnknownValueError:
        return None
    if filled is None:
        return ""
    return None if filled == "" and value.value != "" else filled


def _may_vanish(problem: Problem, unknown_names: set[str]) -> bool:
    """Whether a problem may vanish in a run. `unknown_names`: the settings whose values are known only then."""
    return problem.key in unknown_names or (problem.code == "missing" and "action" in unknown_names)


def _add_problem_findings(dig: DigFile, written: Value, problems: Iterable[Problem]) -> None:
    """Add a finding for each problem with a setting, at the line of that setting in the YAML value `written`."""
    for problem in problems:
        code = _CODES.get(problem.code, "setting")
        dig.add_error(written.get(problem.key) or written, code, f"{problem.key}: {problem.text}")


def _add_unused_findings(dig: DigFile, written: Value, parsed: ParsedSettings) -> None:
    """Add findings about settings that the action does not use, unless the action itself is invalid."""
    if parsed.action and ("action" in parsed.given_values or not parsed.problems):
        for name in parsed.unused_keys:
            message = f"the action does not use {name}: remove the line"
            dig.add_warning(written.get(name) or written, "unused-setting", message)


def find_export_settings(dig: DigFile) -> Iterator[Mapping[str, object]]:
    """Yield the settings of each export, and each entry of `audiences`, in a workflow. None: only a run knows it."""
    for task in walk_tasks(dig.root) if dig.root else ():
        written, command = task.value.get("result_settings"), task.command and str(task.command.value)
        if not written or not command:
            continue
        known, unknown = _split_known_settings(_fill_settings(task, written))
        settings = dict.fromkeys(unknown) | known
        if TABLES.get(command) is EXPORT:
            yield settings
        elif command == MANY:
            for entry in filter(lambda each: isinstance(each, dict), task.exported.get("audiences") or ()):
                own = {name: value for name, value in entry.items() if name not in {*ENTRY_KEYS, *TASK_PARAMETERS}}
                yield settings | own


def find_history(dig: DigFile) -> tuple[str | None, object]:
    """Return the database and the table of the first run history that a task names, or (None, None) if none does."""
    for task in walk_tasks(dig.root) if dig.root else ():
        written = task.value.get("result_settings")
        known = _split_known_settings(_fill_settings(task, written))[0] if written and task.operator == "py" else {}
        if table := known.get("history"):
            own = task.value.get("database")
            database = task.fill_text(own) if own else task.get_exported("td", "database")
            return database or None, table
    return None, None
