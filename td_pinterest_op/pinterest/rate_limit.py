"""Rate limits shared by all requests of a run: writes per window, and no request before a time the server names."""

import collections
import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from td_pinterest_op.errors import StoppedError
from td_pinterest_op.http.retry import read_reset_delay
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import Timing, format_resumption

MINUTE = 60.0
# `100;w=1;name="…"`: one member of the structured list x-ratelimit-limit (IETF draft RateLimit header fields).
_QUOTA = re.compile(r"(?<!\d)(\d{1,9})\s*;\s*w=(\d{1,9})(?!\d)")
# Waits are split into steps of this many seconds, so that a stopped run is noticed.
_POLL_SECONDS = 1.0
# How soon to look again for the response to a write that is under way.
_RESPONSE_POLL_SECONDS = 0.05
# Waits longer than this are logged.
_LONG = 10.0

log = logging.getLogger(__name__)


def parse_quotas(headers: Mapping[str, str]) -> list[tuple[int, int]]:
    """Return the limits in a response's headers: pairs of a number of requests and a period in seconds."""
    return [(int(quota), int(window)) for quota, window in _QUOTA.findall(headers.get("x-ratelimit-limit", ""))]


@dataclass(slots=True, kw_only=True)
class Permit:
    """The permission to send one request. `completed_at` is None until the request ends."""

    write: bool
    completed_at: float | None = None


class RateLimiter:
    """Delays requests until they may leave. Every method may be called from several threads.

    Write number n may leave one minute after the *response* to write n − requests_per_minute. Whatever the network does
    to either, they arrive more than a minute apart: no window of 60 s sees more than the limit.
    """

    def __init__(self, *, requests_per_minute: int, timing: Timing) -> None:
        self._clock, self._wall_clock, self._sleep = timing.monotonic, timing.wall, timing.sleep
        self._windows = {MINUTE: requests_per_minute}
        self._permits: collections.deque[Permit] = collections.deque(maxlen=requests_per_minute)
        self._not_before = self._logged_until = self._clock()
        self._stopped: Exception | None = None
        # How many waits a server or a failed request has caused.
        self.waits = 0
        self._lock = threading.Lock()

    def acquire(self, *, write: bool) -> tuple[Permit, float]:
        """Wait until a request may leave. Return its permit, which `release` takes back, and the seconds waited.

        Raises StoppedError once `stop` was called, or the run was stopped.
        """
        waited = 0.0
        while True:
            with self._lock:
                self._raise_if_stopped()
                delay = self._compute_delay(write)
                if delay <= 0:
                    permit = Permit(write=write)
                    if write:
                        self._permits.append(permit)
                    return permit, waited
            self._log_wait(delay)
            step = min(delay, _POLL_SECONDS)
            self._sleep(step)
            waited += step

    def wait(self, seconds: float) -> None:
        """Wait before one request, without delaying others. Raises StoppedError once the run is stopped."""
        until = self._clock() + seconds
        self.waits += 1
        while (left := until - self._clock()) > 0:
            with self._lock:
                self._raise_if_stopped()
            self._sleep(min(left, _POLL_SECONDS))

    def _log_wait(self, delay: float) -> None:
        """Log a long wait, once for all requests that wait."""
        with self._lock:
            until = self._clock() + delay
            if delay < _LONG or until <= self._logged_until:
                return
            self._logged_until, writes = until + _LONG, self._windows[MINUTE]
        log.info(
            "waiting before the next request (because of the limit of %d writes a minute, or because the server asks "
            "to wait): %s",
            writes,
            format_resumption(delay, wall=self._wall_clock()),
        )

    @property
    def pause(self) -> float:
        """The seconds until the next write may leave; 0 if one may leave now."""
        with self._lock:
            return max(self._compute_delay(write=True), 0.0)

    def _raise_if_stopped(self) -> None:
        """Raise StoppedError if the run was asked to end, or `stop` was called."""
        shutdown.check()
        if self._stopped:
            raise StoppedError(f"the request was not sent, because the run has failed: {self._stopped}")

    def _compute_delay(self, write: bool) -> float:
        """Return the seconds until a request may leave; negative or 0 if it may leave now."""
        now = self._clock()
        delay = self._not_before - now
        for window, limit in self._windows.items() if write else ():
            if len(self._permits) >= limit:
                completed_at = self._permits[-limit].completed_at
                until_then = _RESPONSE_POLL_SECONDS if completed_at is None else completed_at + window - now
                delay = max(delay, until_then)
        return delay

    def release(self, permit: Permit, headers: Mapping[str, str] | None = None) -> None:
        """Record that a request has ended, and what its response's headers say about the limits for writes."""
        with self._lock:
            permit.completed_at = self._clock()
            if headers and permit.write:
                self._learn_limits(headers)

    def _learn_limits(self, headers: Mapping[str, str]) -> None:
        """Adopt the limits that a response's headers name, up to the maximum of the settings."""
        # The setting is the maximum: the server's figures only lower it, and may rise to it again.
        maximum = self._permits.maxlen or 1
        for quota, window in parse_quotas(headers):
            # A longer window (a trial app's day) is not waited out in silence: its 429 says how long that takes.
            if 0 < window <= MINUTE:
                self._windows[float(window)] = min(max(quota, 1), maximum)
        if headers.get("x-ratelimit-remaining") == "0":
            reset = read_reset_delay(headers, wall=self._wall_clock())
            if reset is not None and reset <= MINUTE:
                self._not_before = max(self._not_before, self._clock() + reset)

    def block_for(self, seconds: float) -> bool:
        """Hold all requests back for `seconds`; return whether that extends a block already in force."""
        with self._lock:
            now, before = self._clock(), self._not_before
            self.waits += 1
            self._not_before = max(before, now + seconds)
            return before <= now or self._not_before > before + _POLL_SECONDS

    def stop(self, reason: Exception) -> None:
        """Refuse all further requests: each raises StoppedError with the first reason."""
        with self._lock:
            self._stopped = self._stopped or reason

    def resume(self) -> None:
        """Allow requests again after `stop`, because the run continues without the part that failed."""
        with self._lock:
            self._stopped = None
