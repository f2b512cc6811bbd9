"""Runs a tree of tasks. Sources: digdag-core, workflow/WorkflowExecutor.java, agent/OperatorManager.java."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from . import operators, td_operators, web_operators
from .config import DigError, Params, copy_values, merge, nested
from .operators import MOST_TASKS, Call, Machine, Outcome
from .template import evaluate
from .workflow import GENERATED, Task, compile_task, retry_waits

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


@dataclass(slots=True, kw_only=True, eq=False)
class Node:
    """One task instance; `error` is the message with which it failed itself."""

    task: Task
    error: str | None = None
    waves: list[list[Node]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What a tree of tasks left: all that was stored, and `${error}` when it failed."""

    store: Params = field(default_factory=dict)
    error: Params | None = None


class Attempt:
    """One run of a workflow. `session` are the parameters of every task, `source` is the file's name, for messages.

    `nodes` are its tasks in the order of their creation, repetitions included. `done` are the operators' tasks that
    succeeded, by their full names: at first those of the attempt that is resumed, which do not run again.
    """

    def __init__(self, *, machine: Machine, session: Params, source: str, done: Mapping[str, Outcome]) -> None:
        self.nodes: list[Node] = []
        self.done = dict(done)
        self._machine = machine
        self._session = session
        self._source = source

    def run(self, task: Task, params: Params) -> Left:
        """Run the tree, which sees `params`. Raises DigError when it has too many tasks."""
        return self._run(self._plan(task), params)

    def _plan(self, task: Task) -> Node:
        if len(self.nodes) >= MOST_TASKS:
            raise DigError(f"Too many tasks. Limit: {MOST_TASKS}")
        node = Node(task=task)
        self.nodes.append(node)
        node.waves = self._plan_waves(task)
        return node

    def _plan_waves(self, task: Task) -> list[list[Node]]:
        return [[self._plan(below) for below in wave] for wave in task.waves]

    def _plan_below(self, node: Node, key: str, config: Params) -> list[list[Node]]:
        """The task that an operator made, or that `_error` is, if there is one."""
        if not config:
            return []
        name = node.task.name + GENERATED[key]
        return [[self._plan(compile_task(config, name=name, source=self._source, again=key != "_do"))]]

    def _run(self, node: Node, params: Params) -> Left:
        seen = merge(copy_values(params), nested(node.task.local, "_export"))
        left = self._run_operator(node, seen) if node.task.operator else self._run_group(node, seen)
        if left.error is not None and node.task.local.get("_error"):
            reporting = self._plan_below(node, "_error", node.task.local["_error"])
            seen = merge(merge(seen, left.store), {"error": left.error})
            reported = self._run_waves(reporting, seen)
            merge(left.store, reported.store)
            # What fails there is the error that the tasks above see.
            merge(left.error, reported.error or {})
        return left

    def _run_waves(self, waves: Sequence[Sequence[Node]], params: Params) -> Left:
        """One wave after the other, each task seeing what those of earlier waves stored."""
        seen, store, error = copy_values(params), Params(), Params()
        for wave in waves:
            if len(wave) == 1:
                ended = [self._run(wave[0], seen)]
            else:
                with ThreadPoolExecutor(max_workers=len(wave)) as pool:
                    ended = list(pool.map(self._run, wave, [seen] * len(wave)))
            for left in ended:
                merge(seen, left.store)
                merge(store, left.store)
                merge(error, left.error or {})
            if error:
                return Left(store=store, error=error)
        return Left(store=store)

    def _run_group(self, node: Node, seen: Params) -> Left:
        store: Params = {}
        for wait in (*node.task.waits, None):
            left = self._run_waves(node.waves, seen)
            merge(store, left.store)
            if left.error is None or wait is None:
                break
            self._machine.sleep(wait)
            node.waves = self._plan_waves(node.task)
        return Left(store=store, error=left.error)

    def _run_operator(self, node: Node, seen: Params) -> Left:
        name = node.task.name
        try:
            outcome = self.done[name] if name in self.done else self._call_with_retry(node.task, seen)
            below = self._plan_below(node, "_do", outcome.subtask)
        except DigError as error:
            node.error = str(error)
            self._machine.log(f"[ERROR] ({name}): Task failed: {error}\n")
            return Left(error=error.params())
        left = self._run_waves(below, merge(merge(seen, outcome.export), outcome.store))
        if left.error is None:
            self.done[name] = outcome
        return Left(store=merge(copy_values(outcome.store), left.store), error=left.error)

    def _call_with_retry(self, task: Task, seen: Params) -> Outcome:
        call = self._call(task, seen)
        for wait in retry_waits(call.local):
            try:
                return OPERATORS[task.operator](call)
            except DigError as error:
                self._machine.log(f"[ERROR] ({task.name}): Task failed, retrying: {error}\n")
                self._machine.sleep(wait)
        return OPERATORS[task.operator](call)

    def _call(self, task: Task, seen: Params) -> Call:
        local = {key: value for key, value in task.local.items() if key not in ("_export", "_error")}
        params = merge(merge(copy_values(seen), self._session), {"task_name": task.name})
        merged = evaluate(merge(copy_values(params), local), params)
        command = merged[f"{task.operator}>"]
        shown = command if isinstance(command, str) else json.dumps(command, ensure_ascii=False)
        self._machine.log(f"[INFO] ({task.name}): {task.operator}>: {'' if command is None else shown}\n")
        merged |= {"_type": task.operator, "_command": command}
        return Call(machine=self._machine, name=task.name, params=merged, local={key: merged[key] for key in local})
