"""Tells how far a long phase is: a line in the log every 15 s, a bar on a terminal, nothing when it is short."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

log = logging.getLogger(__name__)

EVERY = 15.0
_BAR, _BAR_EVERY = 30, 0.2


class Progress:
    """Call it with how many of `total` (None: not known) are done; a context, at whose end the bar is removed.

    `clock` gives monotonic seconds.
    """

    def __init__(self, *, phase: str, unit: str, total: int | None, clock: Callable[[], float]) -> None:
        self._phase, self._unit, self._total, self._clock = phase, unit, total, clock
        self._begin = clock()
        self._said = self._drawn = self._begin
        self._bar = sys.stderr.isatty()

    def __call__(self, done: int) -> None:
        now = self._clock()
        if self._bar and now - self._drawn >= _BAR_EVERY:
            self._drawn = now
            self._draw(done, now)
        elif not self._bar and now - self._said >= EVERY:
            self._said = now
            log.info("%s", self._text(done, now))

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._drawn > self._begin:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _draw(self, done: int, now: float) -> None:
        filled = round(_BAR * min(done / self._total, 1)) if self._total else 0
        sys.stderr.write(f"\r\x1b[K[{'#' * filled}{'.' * (_BAR - filled)}] {self._text(done, now)}")
        sys.stderr.flush()

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
