"""Runs a tree of tasks. Sources: digdag-core, workflow/WorkflowExecutor.java, agent/OperatorManager.java."""

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from . import operators, td_operators, web_operators
from .config import DigError, Params, copy_value, mapping_at, merge
from .operators import MOST_TASKS, Call, Machine, Outcome
from .template import evaluate
from .workflow import GENERATED, Task, compile_task

OPERATORS: Mapping[str | None, Callable[[Call], Outcome]] = {
    "echo": operators.echo,
    "fail": operators.fail,
    "if": operators.if_,
    "for_each": operators.for_each,
    "call": operators.call,
    "py": operators.py,
    "td": td_operators.td,
    "td_ddl": td_operators.td_ddl,
    "http": web_operators.http,
    "mail": web_operators.mail,
}


@dataclass(kw_only=True, eq=False)
class Node:
    """One run of a task; `error` is the message of its own failure."""

    task: Task
    error: str | None = None
    waves: "list[list[Node]]" = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class TreeResult:
    """The result of a tree of tasks: all that it stored, and `${error}` if it failed."""

    store: Params = field(default_factory=dict)
    error: Params | None = None


class Attempt:
    """One run of a workflow. `session` are the parameters of every task, `source` is the file's name, for messages.

    `nodes` are its tasks in the order of their creation. `done` are the operators' tasks that
    succeeded, by their full names: at first those of the attempt that is resumed, which do not run again.
    """

    def __init__(self, *, machine: Machine, session: Params, source: str, done: Mapping[str, Outcome]) -> None:
        self.nodes: list[Node] = []
        self.done = dict(done)
        self._machine = machine
        self._session = session
        self._source = source

    def run(self, task: Task, params: Params) -> TreeResult:
        """Run the tree with the parameters of `-p`. Raises DigError when it has too many tasks."""
        return self._run(self._plan(task), params)

    def _plan(self, task: Task) -> Node:
        if len(self.nodes) >= MOST_TASKS:
            raise DigError(f"Too many tasks. Limit: {MOST_TASKS}")
        node = Node(task=task)
        self.nodes.append(node)
        node.waves = [[self._plan(subtask) for subtask in wave] for wave in task.waves]
        return node

    def _plan_below(self, node: Node, key: str, config: Params) -> list[list[Node]]:
        """Return the task that an operator generated, or the one of `_error`, if there is one."""
        if not config:
            return []
        name = node.task.name + GENERATED[key]
        return [[self._plan(compile_task(config, name=name, source=self._source))]]

    def _run(self, node: Node, params: Params) -> TreeResult:
        visible = merge(copy_value(params), mapping_at(node.task.local, "_export"))
        result = self._run_operator(node, visible) if node.task.operator else self._run_waves(node.waves, visible)
        if result.error is not None and node.task.local.get("_error"):
            error_tasks = self._plan_below(node, "_error", node.task.local["_error"])
            visible = merge(merge(visible, result.store), {"error": result.error})
            error_result = self._run_waves(error_tasks, visible)
            merge(result.store, error_result.store)
            # A failure there is the error that the tasks above see.
            merge(result.error, error_result.error or {})
        return result

    def _run_waves(self, waves: Sequence[Sequence[Node]], params: Params) -> TreeResult:
        """Run the waves in turn; each task sees the stored values of earlier waves."""
        visible = copy_value(params)
        store = Params()
        error = Params()
        for wave in waves:
            if len(wave) == 1:
                results = [self._run(wave[0], visible)]
            else:
                with ThreadPoolExecutor(max_workers=len(wave)) as pool:
                    results = list(pool.map(self._run, wave, [visible] * len(wave)))
            for result in results:
                merge(visible, result.store)
                merge(store, result.store)
                merge(error, result.error or {})
            if error:
                return TreeResult(store=store, error=error)
        return TreeResult(store=store)

    def _run_operator(self, node: Node, visible: Params) -> TreeResult:
        name = node.task.name
        try:
            outcome = self.done.get(name) or OPERATORS[node.task.operator](self._call(node.task, visible))
            subtasks = self._plan_below(node, "_do", outcome.subtask)
        except DigError as error:
            node.error = str(error)
            self._machine.log(f"[ERROR] ({name}): Task failed: {error}\n")
            return TreeResult(error=error.params())
        result = self._run_waves(subtasks, merge(visible, outcome.store))
        if result.error is None:
            self.done[name] = outcome
        return TreeResult(store=merge(copy_value(outcome.store), result.store), error=result.error)

    def _call(self, task: Task, visible: Params) -> Call:
        local = {key: value for key, value in task.local.items() if key not in ("_export", "_error")}
        params = merge(merge(copy_value(visible), self._session), {"task_name": task.name})
        merged = evaluate(merge(copy_value(params), local), params)
        command = merged[f"{task.operator}>"]
        shown = command if isinstance(command, str) else json.dumps(command, ensure_ascii=False)
        # What `echo>` is to print follows.
        said = "" if command is None or task.operator == "echo" else shown
        self._machine.log(f"[INFO] ({task.name}): {task.operator}>: {said}\n")
        merged |= {"_type": task.operator, "_command": command}
        return Call(machine=self._machine, name=task.name, params=merged, local={key: merged[key] for key in local})
