"""Progress reporting: to the session log or a terminal."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import Timing, format_duration, format_resumption

log = logging.getLogger(__name__)

# Seconds between two log lines of a long phase.
EVERY = 10.0
# A phase without progress for this many seconds is waiting.
_IDLE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A long phase. `total` (None if unknown) and `pace`, the most a second, are counted in its `unit`.

    `pause` returns the seconds until it may go on, 0 if no limit holds it up.
    """

    name: str
    unit: str
    total: int | None
    pace: float | None = None
    pause: Callable[[], float] = lambda: 0.0


class EtaEstimator:
    """Estimates how long the rest of a phase takes."""

    def __init__(self, phase: Phase, timing: Timing) -> None:
        self._phase, self._timing = phase, timing
        self._begin = self._moved_at = timing.monotonic()
        self._done = 0

    def compute_rate(self) -> float:
        """Return the units done a second since the phase began."""
        return self._done / max(self._timing.monotonic() - self._begin, 1e-9)

    def format_eta(self, done: int) -> str:
        """Return "4 min 10 s left", or when a phase that waits continues; "" if neither is known."""
        now, total = self._timing.monotonic(), self._phase.total
        if done != self._done:
            self._done, self._moved_at = done, now
        left, idle = max((total or 0) - done, 0), now - self._moved_at
        if left and idle >= _IDLE:
            if pause := self._phase.pause():
                return format_resumption(pause, wall=self._timing.wall())
            return f"waiting for {format_duration(idle)}"
        rate = min(self.compute_rate(), self._phase.pace or float("inf"))
        return f"{format_duration(round(left / rate))} left" if total and rate else ""


class ProgressReporter(Protocol):
    """Shows the plan of a run before its first write, and the progress of each phase."""

    def plan(self, text: str) -> None:
        """Show the plan. Raises StoppedError if the user declines it."""

    def progress(self, phase: Phase) -> contextlib.AbstractContextManager[Callable[[int], None]]:
        """Report the progress of a phase. Yields a function to call with the number of units done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReporter:
    """Writes the plan and the progress to the log."""

    timing: Timing

    def plan(self, text: str) -> None:
        """Log the plan."""
        log.info("%s", text)

    @contextlib.contextmanager
    def progress(self, phase: Phase) -> Iterator[Callable[[int], None]]:
        """Log a line every 10 s, none for a short phase. Raises StoppedError once the run is asked to end."""
        logged_at = self.timing.monotonic()
        eta = EtaEstimator(phase, self.timing)

        def log_progress(done: int) -> None:
            """Log the number of units done, if the last line is 10 s old."""
            nonlocal logged_at
            shutdown.raise_if_requested()
            now, left = self.timing.monotonic(), eta.format_eta(done)
            if now - logged_at >= EVERY:
                logged_at = now
                share = f"{done / phase.total:.0%} of {phase.total:,}" if phase.total else ""
                so_far = f"{phase.name}: {done:,} {phase.unit}, {eta.compute_rate():,.0f} a second"
                log.info("%s", ", ".join(filter(None, (so_far, share, left))))

        yield log_progress
