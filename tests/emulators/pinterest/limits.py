"""Rate limits: a number of requests per category and minute, and the headers that state them."""

import collections
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tests.emulators.pinterest.switches import Switches

MINUTE = 60
# Announced where there is no limit: a client that paces itself by the headers must not be slowed down by them.
UNLIMITED = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Admission:
    """Whether a request was let in; `reset` is the delay in seconds until the next one surely is."""

    admitted: bool
    limit: int
    remaining: int
    reset: int

    def headers(self, category: str, *, switches: Switches) -> dict[str, str]:
        """The x-ratelimit headers, and Retry-After for a request that was not let in."""
        headers = {} if self.admitted else {"Retry-After": str(self.reset)}
        if switches.ratelimit_headers == "off":
            return headers
        true = f'{self.limit}, {UNLIMITED};w=1;name="per_second", {self.limit};w=60;name="{category}"'
        return headers | {
            "x-ratelimit-limit": switches.ratelimit_limit_header or true,
            "x-ratelimit-remaining": str(self.remaining),
            "x-ratelimit-reset": str(self.reset),
        }


class RateLimits:
    """Sliding windows over the requests that were let in, by category. `clock` gives monotonic seconds."""

    def __init__(self, *, switches: Switches, clock: Callable[[], float]) -> None:
        self._switches = switches
        self._clock = clock
        self._admitted: dict[str, collections.deque[float]] = collections.defaultdict(collections.deque)
        self._lock = threading.Lock()

    def admit(self, category: str) -> Admission:
        limit = self._switches.limits.get(category, UNLIMITED)
        with self._lock:
            now = self._clock()
            past = self._admitted[category]
            while past and past[0] <= now - MINUTE:
                past.popleft()
            delay = _delay(past, limit, now)
            if delay <= 0:
                past.append(now)
            reset = past[0] + MINUTE - now if past else 0.0
            return Admission(
                admitted=delay <= 0,
                limit=limit,
                remaining=max(limit - len(past), 0),
                # Less what floating point adds: 60 s are not 61.
                reset=math.ceil((delay if delay > 0 else reset) - 1e-6),
            )


def _delay(past: collections.deque[float], limit: int, now: float) -> float:
    if limit == 0:
        return MINUTE
    return past[-limit] + MINUTE - now if len(past) >= limit else 0.0
