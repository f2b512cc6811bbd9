"""A workflow file as a tree of tasks, with everything refused that this stand-in does not know.

Source: digdag-core, workflow/WorkflowCompiler.java.
"""

from dataclasses import dataclass
from pathlib import Path

from .config import DigError, Params, as_bool, as_int, load, mapping_at

_TASK = ("_export", "_error")
_TD = (*_TASK, "database", "endpoint", "use_ssl")
GENERATED = {"_error": "^error", "_do": "^sub", "_else_do": "^sub"}
# What an operator takes; None: any name without a leading underscore as well. A group has no operator.
OPTIONS: dict[str | None, tuple[str | None, ...]] = {
    None: (*_TASK, "_retry", "_parallel"),
    "echo": _TASK,
    "fail": _TASK,
    "if": (*_TASK, "_do", "_else_do"),
    # `error`: below an _error, a parameter of its own in place of the one that it would have to evaluate.
    "for_each": (*_TASK, "_do", "_parallel", "error"),
    "py": (*_TASK, "_retry", "_env", None),
    "td": (*_TD, "create_table", "store_last_results"),
    "td_ddl": (*_TD, "drop_tables"),
    "http": (*_TASK, "method", "content"),
    "mail": (*_TASK, "subject", "to", "from", "host", "port"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task as written, under its full name.

    A group has no `operator`; its `waves` run in turn, the tasks of one side by side.
    """

    name: str
    operator: str | None
    local: Params
    retries: int
    waves: "list[list[Task]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A .dig file: its root task, and the name of its time zone."""

    root: Task
    timezone: str


def read(path: Path) -> Workflow:
    """Load a .dig file. Raises DigError, also for what is unknown here, with the file and the task."""
    config = load(path)
    timezone = str(config.pop("timezone", None) or "UTC")
    config.pop("schedule", None)
    if any(key.endswith(">") for key in config):
        raise DigError(f"{path}: a workflow has tasks, whose names begin with +, and no operator of its own")
    root = compile_task(config, name=f"+{path.stem}", source=path.name)
    return Workflow(root=root, timezone=timezone)


def compile_task(config: Params, *, name: str, source: str) -> Task:
    """The task tree of `config`. Raises DigError, naming `source` and the task."""
    try:
        operator = _operator(config)
        retries = as_int(config, "_retry", 0)
        size = len(config) if as_bool(config, "_parallel") else 1
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
    return Task(name=name, operator=operator, local=local, retries=retries, waves=waves)


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
        raise DigError(f"operator '{operator}>' is not known here")
    allowed = OPTIONS[operator]
    unknown = [
        key
        for key in config
        if key not in (*allowed, *subtasks, f"{operator}>") and (None not in allowed or key.startswith("_"))
    ] + [f"_export: {key}" for key in mapping_at(config, "_export") if key.startswith("_")]
    if unknown:
        what = f"{operator}>" if operator else "a group of tasks"
        raise DigError(f"{what} has no option {', '.join(unknown)} here")
    return operator
