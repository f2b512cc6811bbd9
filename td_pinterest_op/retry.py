"""How often a request is repeated, and how long is waited before: as set, and as a server asks."""

from __future__ import annotations

import datetime
import email.utils
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import backoff

_SHORTEST_LOOK = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and how long: times in seconds. `random` gives 0 to 1."""

    count: int
    initial_wait: float
    longest_wait: float
    random: Callable[[], float]

    def waits(self) -> Iterator[float]:
        """The waits before the first, second, … retry, without end: doubling, plus up to half as much again."""
        doubling = backoff.expo(base=2, factor=self.initial_wait, max_value=self.longest_wait)
        next(doubling)  # it yields nothing of use before it is started
        for wait in doubling:
            yield min(wait * (1 + self.random() / 2), self.longest_wait)

    def attempts(self, sleep: Callable[[float], None]) -> Iterator[int]:
        """1, 2, … up to the first try and all retries, sleeping before each but the first."""
        yield 1
        for attempt, wait in zip(range(2, self.count + 2), self.waits(), strict=False):
            sleep(wait)
            yield attempt

    def waits_for(self, seconds: float) -> Iterator[float]:
        """The waits of all retries, and more of them until they add up to `seconds`."""
        waited = 0.0
        for retry, wait in enumerate(self.waits()):
            if retry >= self.count and waited >= seconds:
                return
            # Retries may be set to come at once; whoever waits for somebody else's work must let time pass.
            wait = max(wait, _SHORTEST_LOOK)
            waited += wait
            yield wait


def retry_after(headers: Mapping[str, str], *, wall: float) -> float | None:
    """Seconds that `Retry-After` (seconds or a date) asks to wait, None without one that can be read.

    `wall` is the time here, in seconds since 1970.
    """
    asked = headers.get("Retry-After", "").strip()
    if asked.isdecimal() and asked.isascii():
        return float(asked)
    until = _http_date(asked)
    return None if until is None else max(0.0, until - server_time(headers, wall=wall))


def server_time(headers: Mapping[str, str], *, wall: float) -> float:
    """The time by the server's own clock where it shows it, so that a wrong one here changes nothing."""
    now = _http_date(headers.get("Date", ""))
    return wall if now is None else now


def _http_date(text: str) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(text)
        # Without a zone (the asctime form) it is UTC as well, and not this machine's time.
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
