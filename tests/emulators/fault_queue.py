"""The faults in force, and which of them a request meets. Each emulator has faults of its own kinds."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar


@dataclass(frozen=True, kw_only=True)
class FaultTurns:
    """The turns of a fault: of the requests that match, the first `after` are spared.

    Then every `every`-th one is met, `times` in all (None: without end).
    """

    after: int = 0
    every: int = 1
    times: int | None = 1


_F = TypeVar("_F", bound=FaultTurns)


class _QueuedFault(Generic[_F]):
    """A fault, how often it may still meet a request, and how many have matched."""

    def __init__(self, fault: _F) -> None:
        self.fault = fault
        self.times_left = fault.times
        self._matches = 0

    def is_due(self) -> bool:
        """Count a request that matches; return whether it is this fault's turn."""
        self._matches += 1
        turn = self._matches - self.fault.after
        return self.times_left != 0 and turn > 0 and turn % self.fault.every == 0


class FaultQueue(Generic[_F]):
    """The faults in force, in the order they were added. Every method may be called from any thread.

    Of several that are due the first is met; the others keep their meeting for a later request.
    """

    def __init__(self) -> None:
        self._queue: list[_QueuedFault[_F]] = []
        self._lock = threading.Lock()

    def add(self, *faults: _F) -> None:
        with self._lock:
            self._queue += map(_QueuedFault, faults)

    def clear(self) -> None:
        with self._lock:
            self._queue.clear()

    def meet(self, matches: Callable[[_F], bool]) -> _F | None:
        """Return the fault that a request meets. Call it once for each request and moment."""
        with self._lock:
            due = [queued for queued in self._queue if matches(queued.fault) and queued.is_due()]
            if not due:
                return None
            if due[0].times_left is not None:
                due[0].times_left -= 1
            return due[0].fault
