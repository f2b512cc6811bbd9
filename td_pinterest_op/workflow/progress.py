"""Who looks on while an export runs: the session's log, or somebody at a terminal. How far a long phase is."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import duration

log = logging.getLogger(__name__)

EVERY = 15.0
# A phase in which nothing was done for this many seconds waits.
_STILL = 10.0


class Outlook:
    """How long the rest of a phase takes. `total` (None: not known) and `pace`, the most a second, are in its units.

    Times are monotonic seconds.
    """

    def __init__(self, *, total: int | None, pace: float | None, now: float) -> None:
        self._total, self._pace = total, pace
        self._begin = self._moved_at = now
        self._done = 0

    def rate(self, now: float) -> float:
        """Units a second since the phase began."""
        return self._done / max(now - self._begin, 1e-9)

    def text(self, done: int, *, now: float) -> str:
        """ "4 min 10 s left", or "waiting for 30 s" while nothing is done; "" if neither is known."""
        if done != self._done:
            self._done, self._moved_at = done, now
        left = max((self._total or 0) - done, 0)
        if left and now - self._moved_at >= _STILL:
            return f"waiting for {duration(now - self._moved_at)}"
        rate = min(self.rate(now), self._pace or float("inf"))
        return f"{duration(round(left / rate))} left" if self._total and rate else ""


class Watcher(Protocol):
    """Gets the plan before the first write, the progress of each phase, and what happens in between."""

    def note(self, text: str) -> None:
        """Show a line that the log has already."""

    def plan(self, text: str) -> None:
        """Show the plan. Raises StoppedError when it must not be carried out."""

    def progress(
        self, *, phase: str, unit: str, total: int | None, pace: float | None = None
    ) -> contextlib.AbstractContextManager[Callable[[int], None]]:
        """Around a phase: what to call with how many of `total` (None: not known) are done, at most `pace` a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogWatcher:
    """Writes into the log. `clock` gives monotonic seconds."""

    clock: Callable[[], float]

    def note(self, text: str) -> None:
        """Nothing: the log has it."""

    def plan(self, text: str) -> None:
        """Log the plan."""
        log.info("%s", text)

    @contextlib.contextmanager
    def progress(
        self, *, phase: str, unit: str, total: int | None, pace: float | None = None
    ) -> Iterator[Callable[[int], None]]:
        """A line in the log every 15 s, none when the phase is short. Raises StoppedError once the run is to end."""
        logged_at = self.clock()
        outlook = Outlook(total=total, pace=pace, now=logged_at)

        def advance(done: int) -> None:
            nonlocal logged_at
            shutdown.check()
            now = self.clock()
            left = outlook.text(done, now=now)
            if now - logged_at >= EVERY:
                logged_at = now
                share = f"{done / total:.0%} of {total:,}" if total else ""
                so_far = f"{phase}: {done:,} {unit}, {outlook.rate(now):,.0f} a second"
                log.info("%s", ", ".join(filter(None, (so_far, share, left))))

        yield advance
