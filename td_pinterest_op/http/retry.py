"""The one way to repeat a call, how often, and the waits that the settings or a server ask for."""

import datetime
import email.utils
import itertools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import backoff

_T = TypeVar("_T")
_E = TypeVar("_E", bound=Exception)

# Some thirty years, in seconds.
_LONGEST_WAIT_SECONDS = 1_000_000_000.0


@dataclass(frozen=True, kw_only=True)
class RetrySchedule:
    """How often a failed request is repeated, and the waits before the repetitions.

    The waits come from backoff's generator. Its decorators are not used: here, a response may set the wait, all
    requests of a run share it, a signal ends it, and some statuses use up no retry.
    """

    count: int
    initial_wait: float
    longest_wait: float  # in seconds
    random: Callable[[], float] = random.random

    def iterate_endless_waits(self) -> Iterator[float]:
        """Yield, without end, the seconds to wait before each retry: about double each time, up to `longest_wait`."""
        if not self.initial_wait:
            yield from itertools.repeat(0.0)
        doubling = backoff.expo(base=2, factor=self.initial_wait, max_value=self.longest_wait)
        next(doubling)  # its first value is no wait
        while True:
            yield min(next(doubling) * (1 + self.random() / 2), self.longest_wait)


def retry(
    call: Callable[[], _T],
    waits: Iterable[float],
    *,
    on: type[_E] | tuple[type[_E], ...],
    sleep: Callable[[float], object],
    before_wait: Callable[[_E, float], float] = lambda _, wait: wait,
) -> _T:
    """Return the result of `call`, which is repeated after each of the `waits` if it raises an error of the type `on`.

    After the last wait, the error is raised. `waits`: in seconds. `before_wait` gets the error and the coming wait: it
    may log them, and returns the seconds to wait, or raises an error to give up. `sleep` waits for a number of seconds;
    it must return or raise early when the run has to end.
    """
    for wait in waits:
        try:
            return call()
        except on as error:
            seconds = before_wait(error, wait)
        sleep(seconds)
    return call()


def parse_retry_after(headers: Mapping[str, str], *, now: float) -> float:
    """Return the seconds that the header `Retry-After` asks to wait, or 0 without a valid time there.

    `headers`: of a response. `now`: this machine's time, in seconds since 1970.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal() and text.isascii():
        return min(float(text), _LONGEST_WAIT_SECONDS)
    until = _parse_http_date(text)
    return 0.0 if until is None else min(max(0.0, until - parse_server_time(headers, now=now)), _LONGEST_WAIT_SECONDS)


def parse_rate_limit_reset(headers: Mapping[str, str]) -> float:
    """Return the seconds in the response's header `x-ratelimit-reset`, after which requests are allowed again.

    Returns 0 if the header has no number of seconds.
    """
    try:
        seconds = float(headers.get("x-ratelimit-reset", ""))
    except ValueError:
        return 0.0
    # NaN, infinity and a point in time (seconds since 1970) are no delays.
    return seconds if 0 <= seconds < _LONGEST_WAIT_SECONDS else 0.0


def parse_server_time(headers: Mapping[str, str], *, now: float) -> float:
    """Return the time in the response's header `Date`, in seconds since 1970, or `now` if there is none.

    `now`: this machine's time, in seconds since 1970.
    """
    return _parse_http_date(headers.get("Date", "")) or now


def _parse_http_date(text: str) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(text)
        # The asctime form has no zone; it is UTC as well.
        return moment.replace(tzinfo=moment.tzinfo or datetime.timezone.utc).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
