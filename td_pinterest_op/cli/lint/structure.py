"""Mistakes of any workflow: names of tasks, templates and schedules that digdag would refuse or ignore."""

import re
from collections.abc import Iterator, Mapping, Sequence

from td_pinterest_op.cli.lint.dig_file import BLOCKS, DigFile, Task, Value
from td_pinterest_op.settings.types import find_nearest, suggest_word

# The keys of digdag that begin with an underscore.
_KEYWORDS = (*BLOCKS, "_export", "_parallel", "_retry", "_env", "_after", "_background", "_workdir")
# Those that a task can do without: their names, without the underscore, are no parameters of an operator.
_MISTAKEN = frozenset({"export", "env", "do", "parallel"})
_OPERATORS = frozenset({"py", "td", "echo", "http", "mail", "call", "for_each", "if", "fail", "sh", "td_ddl"})
_TASK_NAME = re.compile(r"\+[a-zA-Z_0-9\-=\[\]{}%&@`,.]{0,254}")
_SIMPLE_TEMPLATE = re.compile(r"\$\{\s*([A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*)\s*\}")
# What td> tasks add to the mapping `td`.
_SET_BY_TD = frozenset({"last_job_id", "last_job", "last_results", "each"})
# Mappings to which an earlier task or digdag itself adds while a workflow runs.
_GROWING = frozenset({"td", "pinterest", "error", "http", "docker", "py", "mail"})

_CLOCK = r"(?:[01]?\d|2[0-3]):[0-5]?\d:[0-5]?\d"
_WEEKDAY = r"(?:Sun|Mon|Tue|Wed|Thu|Fri|Sat)[a-z]*"
# Source: digdag's documentation, "Setting up a schedule".
_SCHEDULES: Mapping[str, tuple[re.Pattern[str], str]] = {
    "daily>": (re.compile(_CLOCK), "HH:MM:SS, such as 07:00:00"),
    "hourly>": (re.compile(r"[0-5]?\d:[0-5]?\d"), "MM:SS, such as 30:00"),
    "weekly>": (re.compile(rf"(?:{_WEEKDAY}|[0-7]),\s*{_CLOCK}"), "a day and HH:MM:SS, such as Sun,09:00:00"),
    "monthly>": (re.compile(rf"(?:[1-9]|[12]\d|3[01]),\s*{_CLOCK}"), "a day and HH:MM:SS, such as 1,09:00:00"),
    "minutes_interval>": (re.compile(r"[1-9]\d{0,4}"), "minutes, such as 30"),
}
_SCHEDULE_TYPES = (*_SCHEDULES, "cron>")
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
# The fields of a cron expression: name, minimum, maximum, and words for the numbers from the minimum on.
_CRON: Sequence[tuple[str, int, int, Sequence[str]]] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def check_structure(dig: DigFile, root: Value, tasks: Sequence[Task]) -> None:
    """Add findings about the names of tasks, the templates and the schedule of a workflow."""
    for task in tasks:
        _check_names(dig, task)
        _check_templates(dig, task)
    has_hidden_tasks = any(finding.code in ("task-name", "left-out", "yaml") for finding in dig.findings)
    if not has_hidden_tasks and not any(name.startswith("+") for name in root.mapping):
        dig.add_error(root, "task-name", "the workflow has no task: the name of a task begins with +")
    for value in root.walk():
        if isinstance(value.value, str) and _ends_in_open_template(value.value):
            dig.add_error(value, "template", "a template `${` is not closed: add the `}`")
    if schedule := root.get("schedule"):
        for key, value in schedule.mapping.items():
            if message := _find_schedule_problem(key, str(value.value).strip()):
                dig.add_error(value, "schedule", message)
        if sum(key.endswith(">") for key in schedule.mapping) > 1:
            dig.add_error(schedule, "schedule", "digdag accepts only one schedule: keep one line, or use cron>")
    if misplaced := root.get("_export", "schedule"):
        dig.add_error(
            misplaced, "schedule", "digdag ignores a schedule under _export: move it out of _export, to the left margin"
        )


def _check_names(dig: DigFile, task: Task) -> None:
    """Add findings about keys that digdag refuses or ignores, and about tasks whose names lack the leading +."""
    for name, value in task.value.mapping.items():
        if message := _find_key_problem(name, value, task):
            dig.add_error(value, "task-name" if name.startswith("+") else "key", message)
        is_task = any(key.endswith(">") for key in value.mapping) and name not in ("schedule", *BLOCKS)
        if is_task and not name.startswith(("+", "_")) and not name.endswith(">"):
            dig.add_error(
                value,
                "task-name",
                f"{name} does not run as a task: the name of a task must begin with +, so write +{name}",
            )


def _find_key_problem(name: str, value: Value, task: Task) -> str:
    """Return what is wrong with a key of a task or a workflow, or "" if the key is valid."""
    if name.startswith("+"):
        rule = "a task's name may have letters, digits, - and _, but no space"
        return "" if _TASK_NAME.fullmatch(name) else f"digdag refuses {name}: {rule}"
    if name == "_retry" and not (value.mapping or re.fullmatch(r"\d+|\$\{.*\}", str(value.value))):
        return "_retry must be a number, or a mapping with limit and interval"
    if name.startswith("_"):
        near = "" if name in _KEYWORDS else suggest_word(name, _KEYWORDS)
        return f"digdag ignores {name}{near}" if near else ""
    if name in _MISTAKEN and value.mapping and not any(key.endswith(">") for key in value.mapping):
        return f"digdag ignores {name}: write _{name}"
    has_subtasks = any(key.startswith("+") for key in task.value.mapping)
    is_task = task.name.rpartition("+")[2] and task.operator is None and not has_subtasks
    return f"digdag runs nothing here: write {name}>" if is_task and name in _OPERATORS else ""


def list_own_values(task: Task) -> Sequence[Value]:
    """Return the values of a task's keys, except those of its subtasks."""
    return [value for name, value in task.value.mapping.items() if not name.startswith("+") and name not in BLOCKS]


def _check_templates(dig: DigFile, task: Task) -> None:
    """Add findings about templates in a task that name a key missing from a mapping under `_export`."""
    for value in (each for member in list_own_values(task) for each in member.walk()):
        if isinstance(value.value, str):
            check_template(dig, task, value, value.value)


def check_template(dig: DigFile, task: Task, value: Value, text: str) -> None:
    """Add findings, at `value`, about templates in `text` that name a key missing from a mapping under `_export`."""
    for path in _SIMPLE_TEMPLATE.findall(text):
        first, *rest = path.split(".")
        known = task.exported.get(first)
        if first in _GROWING and not _is_misspelt_td_key(first, rest, known):
            continue
        if isinstance(known, dict) and (missing := find_missing_name(rest, known)):
            dig.add_error(value, "template", f"${{{path}}}: {first} has no {missing}")
        elif isinstance(known, str) and "${" not in known and rest not in ([], ["length"]):
            dig.add_error(value, "template", f"${{{path}}}: {first} is a string, so it has no {rest[0]}")


def _is_misspelt_td_key(first: str, rest: Sequence[str], known: object) -> bool:
    """Whether a template names a key of `td` that no task sets or exports, but that resembles an exported key."""
    if first != "td" or not rest or rest[0] in _SET_BY_TD or not isinstance(known, dict):
        return False
    return rest[0] not in known and bool(find_nearest(rest[0].lower(), known, cutoff=0.75))


def find_missing_name(path: Sequence[str], known: object) -> str:
    """Return the first name in `path` that the nested mappings `known` lack, with a suggestion, or "" if all exist."""
    for name in path:
        if not isinstance(known, dict):
            return ""  # a method of a text or of a number
        if name not in known:
            return f"{name}{suggest_word(name, known)}"
        known = known[name]
    return ""


def _ends_in_open_template(text: str) -> bool:
    """Whether the last `${` in the text is never closed by a `}`."""
    start = text.rfind("${")
    return start >= 0 and "}" not in text[start:]


def _find_schedule_problem(key: str, text: str) -> str:
    """Return what is wrong with a schedule such as `daily>: 07:00:00`, or "" if it is valid or has a template."""
    if key.endswith(">") and key not in _SCHEDULE_TYPES:
        return f"digdag has no schedule type {key}{suggest_word(key, _SCHEDULE_TYPES)}"
    if "${" in text:
        return ""
    if key == "cron>":
        return _find_cron_problem(text)
    if f"{key}>" in _SCHEDULE_TYPES:
        return f"digdag ignores {key}: write {key}>"
    if key in _SCHEDULES and not _SCHEDULES[key][0].fullmatch(text):
        return f"{key} must be {_SCHEDULES[key][1]}"
    return ""


def _find_cron_problem(text: str) -> str:
    """Return what is wrong with a cron schedule, or "" if it is valid."""
    fields = text.lower().split()
    if len(fields) != len(_CRON):
        return f"cron> must have five fields (minute, hour, day, month, weekday), not {len(fields)}"
    values = []
    for field, (name, minimum, maximum, words) in zip(fields, _CRON, strict=True):
        try:
            values.append(
                {number for item in field.split(",") for number in _expand_range(item, minimum, maximum, words)}
            )
        except ValueError:
            return f'cron>: "{field}" is not a valid {name}: write {minimum} to {maximum}, *, a-b, a,b or */n'
    days, months = values[2], values[3]
    if fields[4] == "*" and not any(day <= _DAYS_IN_MONTH[month - 1] for month in months for day in days):
        return "cron>: the month has no such day, so the workflow would never run"
    return ""


def _expand_range(item: str, minimum: int, maximum: int, words: Sequence[str]) -> Iterator[int]:
    """Yield the numbers of a cron item such as 1-5. `words`: names of numbers, from `minimum` on. Raises ValueError."""
    span, slash, step = item.partition("/")
    first, dash, last = span.partition("-")
    start = minimum if first == "*" else _parse_cron_number(first, minimum, maximum, words)
    end = _parse_cron_number(last, minimum, maximum, words) if dash else maximum if first == "*" or slash else start
    if (dash and first == "*") or end < start or (slash and int(step) < 1):
        raise ValueError
    yield from range(start, end + 1, int(step) if slash else 1)


def _parse_cron_number(text: str, minimum: int, maximum: int, words: Sequence[str]) -> int:
    """Return the number that digits or a word in a cron field mean. Raises ValueError for an invalid number."""
    number = words.index(text[:3]) + minimum if text[:3] in words else int(text)
    if not minimum <= number <= maximum:
        raise ValueError
    return number
