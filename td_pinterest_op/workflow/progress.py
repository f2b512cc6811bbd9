"""Who looks on while an export runs: the session's log, or somebody at a terminal. How far a long phase is."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from td_pinterest_op import stop
from td_pinterest_op.timing import duration

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


class Progress:
    """A line in the log every 15 s, nothing when the phase is short. `total` and `pace`: see `Outlook`."""

    def __init__(
        self, *, phase: str, unit: str, total: int | None, clock: Callable[[], float], pace: float | None = None
    ) -> None:
        self._phase, self._unit, self._total, self._clock = phase, unit, total, clock
        self._logged_at = clock()
        self._outlook = Outlook(total=total, pace=pace, now=self._logged_at)

    def __call__(self, done: int) -> None:
        """So many are done. Raises StoppedError once the run was told to end."""
        stop.check()
        now = self._clock()
        outlook = self._outlook.text(done, now=now)
        if now - self._logged_at >= EVERY:
            self._logged_at = now
            share = f"{done / self._total:.0%} of {self._total:,}" if self._total else ""
            so_far = f"{self._phase}: {done:,} {self._unit}, {self._outlook.rate(now):,.0f} a second"
            log.info("%s", ", ".join(filter(None, (so_far, share, outlook))))


class Watcher(Protocol):
    """Gets the plan before the first write, and the progress of each phase."""

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

    def plan(self, text: str) -> None:
        """Log the plan."""
        log.info("%s", text)

    def progress(
        self, *, phase: str, unit: str, total: int | None, pace: float | None = None
    ) -> contextlib.AbstractContextManager[Callable[[int], None]]:
        """Log how far a phase is, now and then."""
        progress = Progress(phase=phase, unit=unit, total=total, pace=pace, clock=self.clock)
        return contextlib.nullcontext(progress)
