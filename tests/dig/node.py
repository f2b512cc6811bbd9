"""A task of a running attempt: its state, what it left, and the parameters that it sees."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .operator import Outcome
from .params import Params, merge, remove
from .workflow import Task


@dataclass(slots=True, kw_only=True, eq=False)
class Node:
    """One task instance. `state` is one of digdag's: blocked, running, planned, success, error, group_error.

    `initial` is digdag's flag that a group's `_retry` looks for: it copies only children that have it, and a copy has
    it not.
    """

    task: Task
    id: int
    parent: Node | None
    upstream: tuple[Node, ...]
    initial: bool
    state: str = "blocked"
    waves: list[list[Node]] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)
    outcome: Outcome = field(default_factory=Outcome)
    error: Params | None = None

    @property
    def name(self) -> str:
        """The full name, as in `+workflow+group+task`."""
        return self.task.full_name

    def below(self) -> Iterator[Node]:
        """Every task below, also those of earlier repetitions."""
        for child in self.children:
            yield child
            yield from child.below()

    def visible(self, given: Params) -> Params:
        """What the task can see: `given`, then from the root down what was exported above it and stored before it."""
        params = copy.deepcopy(given)
        for node in self._path():
            for earlier in node.upstream:
                apply((earlier, *earlier.below()), params)
            merge(params, node.task.export)
            if node is not self:
                merge(params, node.outcome.export)
                apply((node,), params)
        return params

    def _path(self) -> list[Node]:
        above = [] if self.parent is None else self.parent._path()
        return [*above, self]


def apply(nodes: Iterable[Node], params: Params) -> None:
    """Lay what the tasks stored over `params`, in order."""
    for node in nodes:
        for name in node.outcome.forget:
            remove(params, name)
        merge(params, node.outcome.store)
