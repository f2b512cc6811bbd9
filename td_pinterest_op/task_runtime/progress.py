"""The progress of a run's long phases, and their remaining time."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import Timing, format_duration

log = logging.getLogger(__name__)

LOG_INTERVAL = 10.0
"""Seconds between two log lines about the progress of a phase."""
# A phase without progress for this many seconds is waiting.
_IDLE = 5.0


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A long phase of a run, such as reading or sending, whose progress is shown."""

    name: str
    unit: str  # what is counted, in the plural, such as "records"
    total: int | None  # how many units the phase has; None if unknown
    pace: float | None = None  # the most units a second
    pause: Callable[[], float] = lambda: 0.0  # returns the seconds until a rate limit lets the phase continue, or 0


@dataclass
class EtaEstimator:
    """Estimates the remaining time of a phase."""

    phase: Phase
    timing: Timing
    _done: int = 0

    def __post_init__(self) -> None:
        self._begin = self._moved_at = self.timing.monotonic()

    def compute_rate(self) -> float:
        """Return the number of units done per second since the phase began."""
        return self._done / max(self.timing.monotonic() - self._begin, 1e-9)

    def format_eta(self, done: int) -> str:
        """Return the remaining time after `done` units, such as "4 min 10 s left", or "" if the time is unknown.

        During a wait, the text says when the wait ends, or how long it has lasted.
        """
        now = self.timing.monotonic()
        total = self.phase.total
        if done != self._done:
            self._done = done
            self._moved_at = now
        left = max((total or 0) - done, 0)
        idle = now - self._moved_at
        if left and idle >= _IDLE:
            if pause := self.phase.pause():
                return f"waiting another {format_duration(pause, now=self.timing.now())}"
            return f"waiting for {format_duration(idle)}"
        rate = min(self.compute_rate(), self.phase.pace or float("inf"))
        return f"{format_duration(round(left / rate))} left" if total and rate else ""


@dataclass(frozen=True, kw_only=True)
class ProgressReporter:
    """Shows the plan and the progress of a run. This class writes them to the log, a subclass elsewhere."""

    timing: Timing

    def show_plan(self, text: str) -> None:
        """Show the plan before the first write. Raises StoppedError if the user declines it."""
        log.info("%s", text)

    @contextlib.contextmanager
    def show_progress(self, phase: Phase) -> Iterator[Callable[[int], None]]:
        """Show the progress of a phase during the block. Yields a function to call with the number of units done."""
        logged_at = self.timing.monotonic()
        eta = EtaEstimator(phase, self.timing)

        def log_progress(done: int) -> None:
            nonlocal logged_at
            shutdown.raise_if_requested()
            now = self.timing.monotonic()
            left = eta.format_eta(done)
            if now - logged_at >= LOG_INTERVAL:
                logged_at = now
                share = f"{done / phase.total:.0%} of {phase.total:,}" if phase.total else ""
                so_far = f"{phase.name}: {done:,} {phase.unit}, {eta.compute_rate():,.0f} a second"
                log.info("%s", ", ".join(filter(None, (so_far, share, left))))

        yield log_progress
