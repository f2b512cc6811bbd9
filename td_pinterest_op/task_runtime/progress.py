"""The progress of a run's long phases, and their remaining time."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import Timing, format_duration

log = logging.getLogger(__name__)

LOG_INTERVAL_SECONDS = 10.0
"""Seconds between two log lines about the progress of a phase."""


@dataclass(frozen=True, kw_only=True)
class ProgressReporter:
    """Shows the plan and the progress of a run. This class writes them to the log, a subclass elsewhere."""

    timing: Timing

    def show_plan_for_approval(self, text: str) -> None:
        """Show the plan before the first write. Raises StoppedError if the user declines it."""
        log.info("%s", text)

    @contextlib.contextmanager
    def show_progress(self, name: str, unit: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Show the progress of a phase during the block. Yields a function to call with the number of units done.

        `name`: such as "sending". `unit`: in the plural, such as "records". `total`: None if unknown.
        """
        began = logged_at = self.timing.monotonic()

        def log_progress(done: int) -> None:
            nonlocal logged_at
            shutdown.raise_if_requested()
            now = self.timing.monotonic()
            if now - logged_at >= LOG_INTERVAL_SECONDS:
                logged_at = now
                rate = done / (now - began)
                text = f"{name}: {done:,} {unit}, {rate:,.0f} a second"
                if total:
                    text += f", {done / total:.0%} of {total:,}"
                    if rate:
                        text += f", {format_duration(round(max(total - done, 0) / rate))} left"
                log.info("%s", text)

        yield log_progress
