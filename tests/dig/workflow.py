"""A workflow file as a tree of tasks, with everything refused that this stand-in does not know.

Source: digdag-core, workflow/WorkflowCompiler.java.
"""

import contextlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .config import DigError, Params, RefusedError, as_bool, as_int, load, mapping_at
from .operators import MOST_TASKS

_TASK_NAME = re.compile(r"\+[a-zA-Z_0-9\-=\[\]{}%&@`,.]{0,254}")
_TASK = ("_export", "_error")
_TD = (*_TASK, "database", "endpoint", "use_ssl")
GENERATED = {"_error": "^error", "_do": "^sub", "_else_do": "^sub"}
# What an operator takes; None: any name without a leading underscore as well. A group has no operator.
OPTIONS: dict[str | None, tuple[str | None, ...]] = {
    None: (*_TASK, "_parallel"),
    "echo": _TASK,
    "fail": _TASK,
    "if": (*_TASK, "_do", "_else_do"),
    # `error`: below an _error, a parameter of its own in place of the one that it would have to evaluate.
    "for_each": (*_TASK, "_do", "_parallel", "error"),
    # Keys of its own do not reach what is called.
    "call": (*_TASK, None),
    "py": (*_TASK, "_env", None),
    "td": (*_TD, "create_table", "engine", "store_last_results"),
    "td_ddl": (*_TD, "drop_tables"),
    "http": (*_TASK, "method", "content"),
    "mail": (*_TASK, "subject", "to", "from", "host", "port"),
}


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task as written, under its full name.

    A group has no `operator`; its `waves` run in turn, the tasks of one side by side.
    """

    name: str
    operator: str | None
    local: Params
    waves: "list[list[Task]]"


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """A .dig file: its root task, and the name of its time zone."""

    root: Task
    timezone: str


def read(path: Path) -> Workflow:
    """Load a .dig file. Raises DigError, RefusedError for what is unknown here; both name the file and the task."""
    config = load(path)
    timezone = str(config.pop("timezone", None) or "UTC")
    config.pop("schedule", None)
    if any(key.endswith(">") for key in config):
        raise DigError(f"{path}: a workflow has tasks, whose names begin with +, and no operator of its own")
    root = compile_task(config, name=f"+{path.stem}", source=path.name)
    return Workflow(root=root, timezone=timezone)


def check_project(folder: Path) -> None:
    """Raises DigError when any workflow of the project is wrong: digdag then runs none of them.

    What is only unknown here does no harm in a workflow that is not run.
    """
    for path in sorted(folder.glob("*.dig")):
        with contextlib.suppress(RefusedError):
            read(path)


def compile_task(config: Params, *, name: str, source: str) -> Task:
    """The task tree of `config`. Raises DigError, naming `source` and the task."""
    try:
        operator = _operator(config)
        size = 1 if operator else _parallel_limit(config.get("_parallel", False))
        generated = {key: mapping_at(config, key) for key in GENERATED}
    except DigError as error:
        raise type(error)(f"{source}: {name}: {error}") from None
    for key, below in generated.items():
        if below:
            compile_task(below, name=name + GENERATED[key], source=source)
    children = [
        compile_task(below, name=name + key, source=source) for key, below in config.items() if key.startswith("+")
    ]
    waves = [children[start : start + size] for start in range(0, len(children), size)]
    local = {key: value for key, value in config.items() if not key.startswith("+")}
    return Task(name=name, operator=operator, local=local, waves=waves)


def _operator(config: Params) -> str | None:
    """Return the operator of a task, None for a group. Raises DigError for contradictory or unknown keys."""
    operators = [key[:-1] for key in config if key.endswith(">")]
    operator = operators[0] if operators else None
    subtasks = [key for key in config if key.startswith("+")]
    if operators and subtasks:
        raise DigError("A task can't have subtasks")
    if len(operators) > 1:
        raise DigError("A task can't have more than one operator")
    if operator not in OPTIONS:
        raise RefusedError(f"operator '{operator}>' is not known here")
    for key in subtasks:
        if not _TASK_NAME.fullmatch(key) or not isinstance(config[key], dict):
            raise DigError(f"{key}: a task's name is + and letters, digits or -_=, and it must be an object")
    allowed = OPTIONS[operator]
    if "_do" in allowed and not (config.get("_do") or config.get("_else_do")):
        raise DigError("_do is required")
    unknown = [
        key
        for key in config
        if key not in (*allowed, *subtasks, f"{operator}>") and (None not in allowed or key.startswith("_"))
    ] + [f"_export: {key}" for key in mapping_at(config, "_export") if key.startswith("_")]
    if unknown:
        what = f"{operator}>" if operator else "a group of tasks"
        raise RefusedError(f"{what} has no option {', '.join(unknown)} here")
    return operator


def _parallel_limit(parallel: Any) -> int:
    """Return how many tasks of a group run at once."""
    if not isinstance(parallel, (bool, str, dict)):
        raise DigError(f"Invalid _parallel format: {json.dumps(parallel)}")
    if not isinstance(parallel, dict):
        return MOST_TASKS if as_bool({"_parallel": parallel}, "_parallel") else 1
    limit = as_int(parallel, "limit")
    if set(parallel) != {"limit"} or limit < 1:
        raise RefusedError("_parallel takes true, false or a limit of at least 1")
    return limit
