"""Says how far a long phase is: a line in the log every 15 s, nothing when the phase is short."""

from __future__ import annotations

import logging
from collections.abc import Callable

from td_pinterest_op import stop

log = logging.getLogger(__name__)

EVERY = 15.0


class Progress:
    """Call it with how many of `total` (None: not known) are done. `clock` gives monotonic seconds.

    Raises StoppedError once the run was told to end.
    """

    def __init__(self, *, phase: str, unit: str, total: int | None, clock: Callable[[], float]) -> None:
        self._phase, self._unit, self._total, self._clock = phase, unit, total, clock
        self._begin = self._logged_at = clock()

    def __call__(self, done: int) -> None:
        """Log how far it is, now and then. Raises StoppedError when the run was told to end."""
        stop.check()
        now = self._clock()
        if now - self._logged_at >= EVERY:
            self._logged_at = now
            log.info("%s", self._text(done, now))

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is left behind."""

    def _text(self, done: int, now: float) -> str:
        rate = done / max(now - self._begin, 1e-9)
        text = f"{self._phase}: {done:,} {self._unit}, {rate:,.0f} a second"
        if self._total and rate:
            left = max(self._total - done, 0) / rate
            text += f", {done / self._total:.0%} of {self._total:,}, {_duration(left)} left"
        return text


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
