"""A workflow file as a tree of tasks, with everything refused that this stand-in does not know.

Sources: digdag-core, workflow/WorkflowCompiler.java, archive/WorkflowFile.java, repository/ModelValidator.java.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import DigError, RefusedError
from .loader import load
from .params import Params, as_bool, as_int, nested

MOST_TASKS = 1000
_TASK_NAME = re.compile(r"[+^][a-zA-Z_0-9\-=\[\]{}%&@`,.^]{0,254}")
_TOP_KEYS = ("timezone", "schedule", "_export", "_error", "_check", "_retry", "_parallel")
_GROUP_KEYS = ("_export", "_error", "_check", "_retry", "_parallel")
_TASK_KEYS = ("_export", "_error", "_check")
_SUBTASK_KEYS = ("_error", "_check", "_do", "_else_do")
_TD = ("_retry", "_workdir", "database", "endpoint", "use_ssl")
# What an operator takes beside _TASK_KEYS; None: any name without a leading underscore as well.
OPTIONS: dict[str, tuple[str | None, ...]] = {
    "echo": (),
    "fail": (),
    "if": ("_do", "_else_do"),
    "for_each": ("_do", "_parallel"),
    "for_range": ("_do", "_parallel"),
    "loop": ("_do", "_parallel", "count"),
    "call": ("_retry", "_workdir"),
    "py": ("_retry", "_workdir", "_env", None),
    "td": (*_TD, "query", "engine", "create_table", "insert_into", "store_last_results", "priority", "job_retry"),
    "td_ddl": (
        *_TD,
        *("create_tables", "drop_tables", "empty_tables", "rename_tables"),
        *("create_databases", "drop_databases", "empty_databases"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task as written. A group has no `operator`; its `waves` run in turn, the tasks of one side by side."""

    name: str
    full_name: str
    operator: str | None
    local: Params
    export: Params
    waves: tuple[tuple[Task, ...], ...] = ()

    @property
    def size(self) -> int:
        """The number of tasks in this tree."""
        return 1 + sum(task.size for wave in self.waves for task in wave)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A .dig file: `config` is its root task's configuration, `timezone` an IANA name."""

    name: str
    timezone: str
    config: Params = field(repr=False)


def read(path: Path) -> Workflow:
    """Load a .dig file. Raises DigError, RefusedError for what is unknown here; both name the file and the task."""
    if path.suffix != ".dig":
        raise DigError(f"{path}: a workflow's name ends in .dig")
    config = load(path)
    unknown = [key for key in config if key not in _TOP_KEYS and not key.startswith("+")]
    if unknown:
        raise RefusedError(f"{path}: Workflow '{path.stem}' includes unknown keys: {unknown}")
    if any("^" in key for key in config):
        raise DigError(f"{path}: a task's name must not contain ^")
    timezone = str(config.pop("timezone", None) or "UTC")
    config.pop("schedule", None)
    workflow = Workflow(name=path.stem, timezone=timezone, config=config)
    compile_tasks(config, parent="", name=f"+{path.stem}", source=path.name)
    return workflow


def compile_tasks(config: Params, *, parent: str, name: str, source: str) -> Task:
    """The task tree of `config`, called `name` below `parent`. Raises DigError, naming `source` and the task."""
    try:
        return _compile(config, parent, name, source)
    except DigError as error:
        if str(error).startswith(f"{source}: "):
            raise
        raise type(error)(f"{source}: {parent}{name}: {error}") from None


def _compile(config: Params, parent: str, name: str, source: str) -> Task:
    full_name = parent + name
    if not _TASK_NAME.fullmatch(name):
        raise DigError(f"'{name}' is no task name")
    local = copy.deepcopy({key: value for key, value in config.items() if not key.startswith("+")})
    subtasks = {key: _ordered(key, value) for key, value in config.items() if key.startswith("+")}
    if as_bool(local, "_disable", False):
        return Task(name=name, full_name=full_name, operator=None, local={"_disable": True}, export={})
    local.pop("_disable", None)
    operators = [key[:-1] for key in local if key.endswith(">")]
    (_check_operator if operators else _check_group)(operators, local, subtasks)
    for key in _SUBTASK_KEYS:
        if nested(local, key):
            compile_tasks(nested(local, key), parent=full_name, name=_generated(key), source=source)
    children = [
        compile_tasks(subtask, parent=full_name, name=subtask_name, source=source)
        for subtask_name, subtask in subtasks.items()
    ]
    return Task(
        name=name,
        full_name=full_name,
        operator=operators[0] if operators else None,
        export=nested(local, "_export"),
        local={key: value for key, value in local.items() if key != "_export"},
        waves=tuple(_waves(children, False if operators else local.get("_parallel", False))),
    )


def _generated(key: str) -> str:
    return {"_error": "^error", "_check": "^check"}.get(key, "^sub")


def _ordered(key: str, value: Any) -> Params:
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, dict) for part in parts):
        raise DigError(f"Parameter '{key}' must be an object or array of objects")
    return {name: inner for part in parts for name, inner in part.items()}


def _check_group(_operators: list[str], local: Params, _subtasks: Mapping[str, Params]) -> None:
    unknown = [key for key in local if key not in _GROUP_KEYS]
    if unknown:
        raise RefusedError(
            f"contains invalid keys: {', '.join(unknown)} (a group of tasks takes {', '.join(_GROUP_KEYS)})"
        )


def _check_operator(operators: list[str], local: Params, subtasks: Mapping[str, Params]) -> None:
    if subtasks:
        raise DigError("A task can't have subtasks")
    if len(operators) > 1:
        raise DigError("A task can't have more than one operator")
    operator = operators[0]
    if operator not in OPTIONS:
        raise RefusedError(
            f"operator '{operator}>' is not known here; known are {', '.join(f'{name}>' for name in OPTIONS)}"
        )
    allowed = (*_TASK_KEYS, *OPTIONS[operator])
    unknown = [
        key
        for key in local
        if key not in allowed and not key.endswith(">") and (None not in allowed or key.startswith("_"))
    ]
    if unknown:
        raise RefusedError(f"{operator}> has no option {', '.join(unknown)} here")


def _waves(children: list[Task], parallel: Any) -> list[tuple[Task, ...]]:
    """One task a wave; with `_parallel: true` all in one; with a limit N, N in each."""
    limit = as_int(parallel, "limit") if isinstance(parallel, dict) else 0 if _is_parallel(parallel) else 1
    size = limit if limit > 0 else max(len(children), 1)
    return [tuple(children[start : start + size]) for start in range(0, len(children), size)]


def _is_parallel(value: Any) -> bool:
    if not isinstance(value, (bool, str)):
        raise DigError(f"Invalid _parallel format: {json.dumps(value)}")
    return as_bool({"_parallel": value}, "_parallel")
