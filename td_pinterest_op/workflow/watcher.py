"""Who looks on while an export runs: the session's log, or somebody at a terminal."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from td_pinterest_op.workflow.progress import Progress

log = logging.getLogger(__name__)


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
