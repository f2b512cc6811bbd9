"""Faults in force: which of them a request meets. What a fault is and does is each emulator's own business."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

_F = TypeVar("_F")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Of the requests that match, the first `after` are spared.

    Then every `every`-th one is met, with `probability` (drawn from `seed`), `times` in all (None: without end).
    """

    after: int = 0
    every: int = 1
    probability: float = 1.0
    seed: int = 0
    times: int | None = 1


class _Queued(Generic[_F]):
    """A fault, how often it may still meet a request, and how many have matched."""

    def __init__(self, fault: _F, turns: Turns) -> None:
        self.fault, self.left = fault, turns.times
        self._turns, self._seen = turns, 0
        self._random = random.Random(turns.seed)

    def is_due(self) -> bool:
        """Count a request that matches; True when it is this fault's turn."""
        self._seen += 1
        turn = self._seen - self._turns.after
        is_drawn = self._random.random() < self._turns.probability
        return self.left != 0 and turn > 0 and turn % self._turns.every == 0 and is_drawn


class FaultQueue(Generic[_F]):
    """The faults in force, in the order they were added. Every method may be called from any thread.

    `turns` gives a fault's turns; `choose` says, by their places, which of several faults that are due are met: one
    that is not keeps its meeting for a later request.
    """

    def __init__(self, *, turns: Callable[[_F], Turns], choose: Callable[[list[_F]], Iterable[int]]) -> None:
        self._turns, self._choose = turns, choose
        self._queue: list[_Queued[_F]] = []
        self._lock = threading.Lock()

    def add(self, *faults: _F) -> None:
        with self._lock:
            self._queue += [_Queued(fault, self._turns(fault)) for fault in faults]

    def clear(self) -> None:
        with self._lock:
            self._queue.clear()

    def pending(self) -> int:
        """How many faults have meetings left (those without end included)."""
        with self._lock:
            return sum(queued.left != 0 for queued in self._queue)

    def meet(self, matches: Callable[[_F], bool]) -> list[_F]:
        """The faults that a request meets; to be asked once for each request and moment."""
        with self._lock:
            due = [queued for queued in self._queue if matches(queued.fault) and queued.is_due()]
            met = [due[place] for place in self._choose([queued.fault for queued in due])]
            for queued in met:
                if queued.left is not None:
                    queued.left -= 1
            return [queued.fault for queued in met]


def first(due: list[_F]) -> Iterable[int]:
    """Meet the first fault that is due and none after it."""
    return range(min(len(due), 1))
