"""Rate limits: a number of requests per category, second, minute and day, and the headers that state them."""

from __future__ import annotations

import collections
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tests.emulators.pinterest.switches import Switches

MINUTE, DAY = 60, 86400
# Announced where there is no limit: a client that paces itself by the headers must not be slowed down by them.
UNLIMITED = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether a request was let in; `reset` is the delay in seconds until the next one certainly is.

    `is_daily`: it is the day's limit of trial access that kept it out.
    """

    admitted: bool
    limit: int
    burst: int
    remaining: int
    reset: int
    is_daily: bool = False

    def headers(self, category: str, *, switches: Switches, now: float) -> dict[str, str]:
        """The x-ratelimit headers, and Retry-After for a request that was not let in. `now`: seconds since 1970."""
        is_forbidden = self.is_daily and switches.trial_answer == "403"
        headers = {} if self.admitted or is_forbidden else {"Retry-After": str(self.reset)}
        if switches.ratelimit_headers == "off":
            return headers
        true = f'{self.limit}, {self.burst};w=1;name="per_second", {self.limit};w=60;name="{category}"'
        reset = self.reset + (math.ceil(now) if switches.ratelimit_headers == "epoch" else 0)
        return headers | {
            "x-ratelimit-limit": switches.ratelimit_limit_header or true,
            "x-ratelimit-remaining": str(self.remaining),
            "x-ratelimit-reset": str(reset),
        }


class RateLimits:
    """Sliding windows over the requests that were let in, by category. `clock` gives monotonic seconds."""

    def __init__(self, *, switches: Switches, clock: Callable[[], float]) -> None:
        self._switches, self._clock = switches, clock
        self._admitted: dict[str, collections.deque[float]] = collections.defaultdict(collections.deque)
        self._day: collections.deque[float] = collections.deque()
        self._lock = threading.Lock()

    def admit(self, category: str) -> Admission:
        limit = self._switches.limits.get(category, UNLIMITED)
        burst = self._switches.burst or UNLIMITED
        with self._lock:
            now, past = self._clock(), self._admitted[category]
            _forget(past, now - MINUTE)
            daily = self._daily_delay(category, now)
            delay = max(_delay(past, limit, MINUTE, now), _delay(past, burst, 1, now), daily)
            if delay <= 0:
                past.append(now)
                if category == "ads_write":
                    self._day.append(now)
            reset = past[0] + MINUTE - now if past else 0.0
            return Admission(
                admitted=delay <= 0,
                limit=limit,
                burst=burst,
                remaining=max(limit - len(past), 0),
                # Less what floating point adds: 60 s are not 61.
                reset=math.ceil((delay if delay > 0 else reset) - 1e-6),
                is_daily=daily > 0,
            )

    def _daily_delay(self, category: str, now: float) -> float:
        """Seconds until trial access allows another write."""
        _forget(self._day, now - DAY)
        if category != "ads_write" or self._switches.access_tier != "trial":
            return 0.0
        return _delay(self._day, self._switches.trial_writes, DAY, now)


def _forget(past: collections.deque[float], until: float) -> None:
    while past and past[0] <= until:
        past.popleft()


def _delay(past: collections.deque[float], limit: int, window: float, now: float) -> float:
    if limit == 0:
        return window
    return past[-limit] + window - now if len(past) >= limit else 0.0
