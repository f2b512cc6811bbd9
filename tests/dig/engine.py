"""Runs a tree of tasks. Sources: digdag-core, workflow/WorkflowExecutor.java, agent/OperatorManager.java."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from . import flow_operators, py_operator, td_operators
from .errors import DigError
from .node import Node, apply
from .operator import Call, Machine, Operator, Outcome
from .params import Params, merge, nested
from .retry import Retry, parse_retry
from .session import Session
from .template import evaluate
from .workflow import MOST_TASKS, Task, compile_tasks

OPERATORS: Mapping[str, Operator] = {
    "echo": Operator(run=flow_operators.echo),
    "fail": Operator(run=flow_operators.fail),
    "if": Operator(run=flow_operators.if_),
    "for_each": Operator(run=flow_operators.for_each),
    "for_range": Operator(run=flow_operators.for_range),
    "loop": Operator(run=flow_operators.loop),
    "call": Operator(run=flow_operators.call_, retries=True),
    "py": Operator(run=py_operator.py, retries=True),
    "td": Operator(run=td_operators.td, retries=True),
    "td_ddl": Operator(run=td_operators.td_ddl, retries=True),
}


class Attempt:
    """One run of a workflow. `params` are those of `-p` and `-P`; `source` is the file's name, for messages."""

    def __init__(self, *, machine: Machine, session: Session, params: Params, workflow: str, source: str) -> None:
        self.nodes: list[Node] = []
        self._machine = machine
        self._session = session
        self._params = params
        self._workflow = workflow
        self._source = source
        self._lock = threading.Lock()

    def run(self, task: Task) -> Node:
        """Run the tree and give back its root. Raises DigError when it has too many tasks."""
        root = self._plant(task, parent=None, upstream=(), initial=True)
        self._run(root)
        return root

    def stored(self) -> Params:
        """What all tasks stored, later ones over earlier ones."""
        params: Params = {}
        apply(self.nodes, params)
        return params

    def _log(self, level: str, node: Node, text: str) -> None:
        self._machine.log(f"[{level}] ({node.name}): {text}\n")

    def _plant(self, task: Task, *, parent: Node | None, upstream: tuple[Node, ...], initial: bool) -> Node:
        with self._lock:
            if len(self.nodes) + task.size > MOST_TASKS:
                counts = f"Limit: {MOST_TASKS}, Current: {len(self.nodes)}, Adding: {task.size}"
                raise DigError(f"Too many tasks. {counts}")
            node = Node(task=task, id=len(self.nodes) + 1, parent=parent, upstream=upstream, initial=initial)
            self.nodes.append(node)
        if parent is not None:
            parent.children.append(node)
        self._plant_waves(node, initial=initial)
        return node

    def _plant_waves(self, node: Node, *, initial: bool) -> None:
        node.waves = []
        earlier: tuple[Node, ...] = ()
        for wave in node.task.waves:
            planted = [self._plant(task, parent=node, upstream=earlier, initial=initial) for task in wave]
            node.waves.append(planted)
            earlier = (*earlier, *planted)

    def _run(self, node: Node) -> None:
        node.state = "running"
        if node.task.operator is None:
            self._run_group(node)
        else:
            self._run_operator(node)

    def _run_waves(self, waves: Sequence[Sequence[Node]]) -> bool:
        for wave in waves:
            if len(wave) == 1:
                self._run(wave[0])
            else:
                with ThreadPoolExecutor(max_workers=len(wave)) as pool:
                    list(pool.map(self._run, wave))
            if any(node.state != "success" for node in wave):
                return False
        return True

    def _run_group(self, node: Node) -> None:
        retry, done = self._group_retry(node), 0
        while not self._run_waves(node.waves):
            if done == retry.limit:
                self._fail_group(node)
                return
            self._machine.sleep(retry.wait(done))
            self._plant_waves(node, initial=False)
            done += 1
        node.state = "success"

    def _group_retry(self, node: Node) -> Retry:
        try:
            retry = parse_retry(node.task.local)
        except DigError as error:
            self._log("WARN", node, f"Ignore retry parameter because of invalid retry configuration. {error}")
            return Retry()
        # A repetition copies initial tasks only; where there are none it changes nothing.
        return retry if node.initial else Retry()

    def _fail_group(self, node: Node) -> None:
        export: Params = {}
        apply(node.below(), export)
        error: Params = {}
        for failed in node.below():
            merge(error, failed.error or {})
        self._run_error_task(node, {**export, "error": error})
        node.state = "group_error"

    def _run_operator(self, node: Node) -> None:
        try:
            outcome = self._call_with_retry(node)
            waves = self._generate(node, outcome)
        except DigError as error:
            self._fail(node, error)
            return
        node.outcome, node.state = outcome, "planned"
        if self._run_waves(waves):
            node.state = "success"
        else:
            self._fail_group(node)

    def _fail(self, node: Node, error: DigError) -> None:
        told = {"": f"Task {node.name} failed.\n", "config": f"Configuration error at task {node.name}: "}
        self._log("ERROR", node, told.get(error.label, "Task failed with unexpected error: ") + error.message)
        node.error = {"message": error.message, "stacktrace": ""}
        self._run_error_task(node, {"error": node.error})
        node.state = "error"

    def _run_error_task(self, node: Node, export: Params) -> None:
        config = copy.deepcopy(nested(node.task.local, "_error"))
        if config:
            config["_export"] = merge(nested(config, "_export"), export)
            config["_export"]["error"] = export["error"]
            try:
                task = self._plant(self._compile(config, node, "^error"), parent=node, upstream=(), initial=False)
            except DigError as broken:
                self._log("WARN", node, f"Found a broken _error task. Skipping this task. {broken}")
            else:
                self._run(task)

    def _compile(self, config: Params, node: Node, name: str) -> Task:
        return compile_tasks(config, parent=node.name, name=name, source=self._source)

    def _generate(self, node: Node, outcome: Outcome) -> list[list[Node]]:
        """The tasks that come below a successful one: those it made, then its `_check`."""
        generated: list[Node] = []
        for name, config in (("^sub", outcome.subtask), ("^check", nested(node.task.local, "_check"))):
            if config:
                task = self._compile(config, node, name)
                generated.append(self._plant(task, parent=node, upstream=tuple(generated), initial=name == "^sub"))
        return [[child] for child in generated]

    def _call_with_retry(self, node: Node) -> Outcome:
        operator = OPERATORS[str(node.task.operator)]
        done = 0
        while True:
            call = self._call(node, announce=done == 0)
            retry = parse_retry(call.params) if operator.retries else Retry()
            try:
                return operator.run(call)
            except DigError as error:
                if done >= retry.limit:
                    raise
                self._log("ERROR", node, f"Task failed, retrying: {error.message}")
            self._machine.sleep(retry.wait(done))
            done += 1

    def _call(self, node: Node, *, announce: bool) -> Call:
        local = {key: value for key, value in node.task.local.items() if key not in ("_error", "_check")}
        params = merge(node.visible(self._params), self._session.params(node.name))
        merged = evaluate(merge(copy.deepcopy(params), local), params)
        operator = str(node.task.operator)
        command = merged[f"{operator}>"]
        merged["_type"] = operator
        if command is not None:
            merged["_command"] = command
        if announce:
            shown = command if isinstance(command, str) else json.dumps(command, ensure_ascii=False)
            self._log("INFO", node, f"{operator}>: {'' if command is None else shown}")
        return Call(
            machine=self._machine,
            task_id=node.id,
            name=node.name,
            workflow=self._workflow,
            params=merged,
            local={key: merged[key] for key in local},
        )
