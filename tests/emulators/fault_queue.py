"""Faults in force: which of them a request meets. What a fault is and does is each emulator's own business."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """What every fault has: of the requests that match, the first `after` are spared.

    Then every `every`-th one is met, with `probability` (drawn from `seed`), `times` in all (None: without end).
    """

    after: int = 0
    every: int = 1
    probability: float = 1.0
    seed: int = 0
    times: int | None = 1


_F = TypeVar("_F", bound=Turns)


class _Queued(Generic[_F]):
    """A fault, how often it may still meet a request, and how many have matched."""

    def __init__(self, fault: _F) -> None:
        self.fault, self.left, self._seen = fault, fault.times, 0
        self._random = random.Random(fault.seed)

    def is_due(self) -> bool:
        """Count a request that matches; True when it is this fault's turn."""
        self._seen += 1
        turn = self._seen - self.fault.after
        is_drawn = self._random.random() < self.fault.probability
        return self.left != 0 and turn > 0 and turn % self.fault.every == 0 and is_drawn


class FaultQueue(Generic[_F]):
    """The faults in force, in the order they were added. Every method may be called from any thread.

    Of several that are due the first is met; the others keep their meeting for a later request.
    """

    def __init__(self) -> None:
        self._queue: list[_Queued[_F]] = []
        self._lock = threading.Lock()

    def add(self, *faults: _F) -> None:
        with self._lock:
            self._queue += map(_Queued, faults)

    def clear(self) -> None:
        with self._lock:
            self._queue.clear()

    def pending(self) -> int:
        """How many faults have meetings left (those without end included)."""
        with self._lock:
            return sum(queued.left != 0 for queued in self._queue)

    def meet(self, matches: Callable[[_F], bool]) -> _F | None:
        """The fault that a request meets; to be asked once for each request and moment."""
        with self._lock:
            due = [queued for queued in self._queue if matches(queued.fault) and queued.is_due()]
            if not due:
                return None
            if due[0].left is not None:
                due[0].left -= 1
            return due[0].fault
