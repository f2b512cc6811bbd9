"""The clocks and the sleep of a run, which tests replace, and durations as text."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from td_pinterest_op.runtime import shutdown

DAY_SECONDS = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The clocks of a run and its function `sleep`, all in seconds."""

    monotonic: Callable[[], float] = time.monotonic  # for durations
    now: Callable[[], float] = time.time  # seconds since 1970
    sleep: Callable[[float], None] = time.sleep

    def get_utc_time(self, seconds_from_now: float = 0.0) -> datetime:
        """Return the date and time in UTC that is `seconds_from_now`."""
        return datetime.fromtimestamp(self.now() + seconds_from_now, timezone.utc)


SYSTEM_TIMING = Timing(sleep=shutdown.sleep)


def format_duration(seconds: float, *, start_time: float | None = None) -> str:
    """Return a duration in two units at most, such as "3 min 20 s", and with its end: "5 min (until 14:05 UTC)".

    `start_time`: in seconds since 1970; None leaves the end out. Less than two minutes gets no end, and an end in half
    a day or more gets its date.
    """
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 ", " ")
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    units = ((hours, "h"), (minutes, "min"), (0 if hours else rest, "s"))
    length = " ".join(f"{count} {unit}" for count, unit in units if count)
    if start_time is None or seconds < 120:
        return length
    end = datetime.fromtimestamp(start_time, timezone.utc) + timedelta(seconds=seconds)
    return f"{length} (until {end:{'%H:%M' if seconds < DAY_SECONDS / 2 else '%Y-%m-%d %H:%M'}} UTC)"
