"""The progress of a run's long phases, and their remaining time."""

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import Timing, format_duration

log = logging.getLogger(__name__)

LOG_INTERVAL_SECONDS = 10.0
"""Seconds between two log lines about the progress of a phase."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A long phase of a run, such as reading or sending, whose progress is shown."""

    name: str
    unit: str  # what is counted, in the plural, such as "records"
    total: int | None  # how many units the phase has; None if unknown
    pace: float = math.inf  # the most units a second


@dataclass(frozen=True, kw_only=True)
class ProgressReporter:
    """Shows the plan and the progress of a run. This class writes them to the log, a subclass elsewhere."""

    timing: Timing

    def show_plan_for_approval(self, text: str) -> None:
        """Show the plan before the first write. Raises StoppedError if the user declines it."""
        log.info("%s", text)

    @contextlib.contextmanager
    def show_progress(self, phase: Phase) -> Iterator[Callable[[int], None]]:
        """Show the progress of a phase during the block. Yields a function to call with the number of units done."""
        began = logged_at = self.timing.monotonic()

        def log_progress(done: int) -> None:
            nonlocal logged_at
            shutdown.raise_if_requested()
            now = self.timing.monotonic()
            if now - logged_at >= LOG_INTERVAL_SECONDS:
                logged_at = now
                rate = done / (now - began)
                text = f"{phase.name}: {done:,} {phase.unit}, {rate:,.0f} a second"
                if phase.total:
                    text += f", {done / phase.total:.0%} of {phase.total:,}"
                if phase.total and rate:
                    left = max(phase.total - done, 0) / min(rate, phase.pace)
                    text += f", {format_duration(round(left))} left"
                log.info("%s", text)

        yield log_progress
