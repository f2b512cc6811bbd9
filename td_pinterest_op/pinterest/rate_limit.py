"""Rate limits of all requests: writes a minute, and no request before the time that the server names."""

import contextlib
import copy
import re
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from td_pinterest_op.errors import StoppedError
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import Timing

MINUTE = 60.0
# `100;w=1;name="…"`: a member of the list x-ratelimit-limit (IETF draft RateLimit header fields).
_QUOTA_PATTERN = re.compile(r"(?<!\d)(\d{1,9})\s*;\s*w=(\d{1,9})(?!\d)")
# A wait goes in steps, so that a stopped run is noticed.
_WAIT_STEP_SECONDS = 1.0
_RESPONSE_POLL_SECONDS = 0.05  # how soon to look again whether a write has ended
# A request that had to wait longer, in seconds, counts in `past_wait_count`, whatever the reason.
_LEAST_COUNTED_WAIT = 10.0


def parse_requests_per_seconds(headers: Mapping[str, str]) -> list[tuple[int, int]]:
    """Return the rate limits in a response's headers, each as requests and seconds."""
    return [(int(quota), int(window)) for quota, window in _QUOTA_PATTERN.findall(headers.get("x-ratelimit-limit", ""))]


@dataclass
class _PermittedWrite:
    completed_at: float | None = None  # when the request ended; None until then


@dataclass(kw_only=True)
class _SharedLimits:
    """The limits that all runs of this process share. Times are on the monotonic clock."""

    writes: deque[_PermittedWrite]  # the last ones, as many as the limit allows in a minute
    slots: threading.Semaphore  # for writes in flight
    not_before: float  # no request may be sent earlier
    waits: int = 0  # how many responses have delayed all requests
    lock: threading.Lock = field(default_factory=threading.Lock)


class RateLimiter:
    """Delays the requests of a run until the rate limits allow them. Every method may be called from several threads.

    With a limit of N writes a minute, each write is sent at least one minute after the *response* to the N-th write
    before. So no 60 s contain more than N writes, whatever the network does. `max_in_flight`: how many writes may await
    their response at a time.
    """

    def __init__(self, *, requests_per_minute: int, timing: Timing, max_in_flight: int = 64) -> None:
        self._clock = timing.monotonic
        self._sleep = timing.sleep
        self._limits = _SharedLimits(
            writes=deque(maxlen=requests_per_minute),
            slots=threading.Semaphore(max_in_flight),
            not_before=self._clock(),
        )
        self._stopped: Exception | None = None
        self._own_waits = 0

    def copy_with_shared_limits(self) -> "RateLimiter":
        """Return a limiter for another run: both together keep to the limits. `stop` stops only one of them."""
        other = copy.copy(self)
        other._stopped = None
        other._own_waits = 0
        return other

    @property
    def past_wait_count(self) -> int:
        """How many waits there were, of this run and of all runs. Of those before a request, only long ones count."""
        return self._own_waits + self._limits.waits

    @contextlib.contextmanager
    def wait_for_permit(self, *, write: bool) -> Iterator[float]:
        """Wait until a request may be sent, and yield the seconds waited for limits other than `max_in_flight`.

        The `with` block lasts until the request has ended. Raises StoppedError once `stop` was called or the run is to
        end.
        """
        limits = self._limits
        request = _PermittedWrite() if write else None
        began = self._clock()
        waited = 0.0
        while write and not limits.slots.acquire(timeout=_RESPONSE_POLL_SECONDS):
            self._raise_if_stopped()
        try:
            while (delay := self._permit_or_get_delay(request)) > 0:
                step = min(delay, _WAIT_STEP_SECONDS)
                self._sleep(step)
                waited += step
            if self._clock() - began > _LEAST_COUNTED_WAIT:
                self._own_waits += 1
            yield waited
        finally:
            if request:
                with limits.lock:
                    request.completed_at = self._clock()
                limits.slots.release()

    def _permit_or_get_delay(self, request: _PermittedWrite | None) -> float:
        """Permit a request now, and return 0, or return the seconds until it may be permitted. None: it only reads.

        A permitted write counts in the limit from here on. Raises StoppedError as `wait_for_permit` does.
        """
        with self._limits.lock:
            self._raise_if_stopped()
            now = self._clock()
            delay = self._limits.not_before - now
            writes = self._limits.writes
            if request and len(writes) == writes.maxlen:
                completed_at = writes[0].completed_at
                delay = max(delay, _RESPONSE_POLL_SECONDS if completed_at is None else completed_at + MINUTE - now)
            if request and delay <= 0:
                writes.append(request)
            return max(delay, 0.0)

    def wait(self, seconds: float) -> None:
        """Wait `seconds`, and delay no other request. Raises StoppedError as `wait_for_permit` does."""
        until = self._clock() + seconds
        self._own_waits += 1
        while (left := until - self._clock()) > 0:
            self._raise_if_stopped()
            self._sleep(min(left, _WAIT_STEP_SECONDS))

    def _raise_if_stopped(self) -> None:
        shutdown.raise_if_requested()
        if self._stopped:
            raise StoppedError(f"the request was not sent, because the run has failed: {self._stopped}")

    def delay_all_requests(self, seconds: float) -> bool:
        """Delay all requests by `seconds`. Returns False if they were already delayed for about that long."""
        with self._limits.lock:
            now = self._clock()
            before = self._limits.not_before
            self._limits.waits += seconds > 0
            self._limits.not_before = max(before, now + seconds)
            return before <= now or self._limits.not_before > before + _WAIT_STEP_SECONDS

    def stop(self, reason: Exception) -> None:
        """Make all further requests raise StoppedError, with the `reason` of the first call."""
        with self._limits.lock:
            self._stopped = self._stopped or reason
