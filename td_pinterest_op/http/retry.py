"""Repeats a call, as often and after such waits as the settings or a server ask."""

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

_LONGEST_WAIT_SECONDS = 1_000_000_000.0  # some thirty years


@dataclass(frozen=True, kw_only=True)
class RetrySchedule:
    """How often a failed request is repeated, and after which waits, in seconds.

    The waits come from backoff's generator. Its decorators do not fit: a response may set the wait, all requests of a
    run share it, a signal ends it, and some statuses use up no retry.
    """

    count: int
    initial_wait: float
    longest_wait: float
    random: Callable[[], float] = random.random

    def iterate_endless_waits(self) -> Iterator[float]:
        """Yield the seconds to wait before each retry: about double each time, up to `longest_wait`, without end."""
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

    `waits` are in seconds. `before_wait` gets the error and the coming wait, and returns the seconds to wait, or raises
    an error to give up. `sleep` must return or raise early when the run has to end.
    """
    for wait in waits:
        try:
            return call()
        except on as error:
            seconds = before_wait(error, wait)
        sleep(seconds)
    return call()


def parse_retry_after(headers: Mapping[str, str], *, now: float) -> float:
    """Return the seconds that a response's `Retry-After` asks to wait, or 0. `now`: in seconds since 1970."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal() and text.isascii():
        return min(float(text), _LONGEST_WAIT_SECONDS)
    until = _parse_http_date(text)
    return 0.0 if until is None else min(max(0.0, until - parse_server_time(headers, now=now)), _LONGEST_WAIT_SECONDS)


def parse_rate_limit_reset(headers: Mapping[str, str]) -> float:
    """Return the seconds in a response's `x-ratelimit-reset`, after which requests are allowed again, else 0."""
    try:
        seconds = float(headers.get("x-ratelimit-reset", ""))
    except ValueError:
        return 0.0
    # NaN, infinity and a point in time (seconds since 1970) are no delays.
    return seconds if 0 <= seconds < _LONGEST_WAIT_SECONDS else 0.0


def parse_server_time(headers: Mapping[str, str], *, now: float) -> float:
    """Return the time in a response's `Date`, in seconds since 1970, or `now` if there is none."""
    return _parse_http_date(headers.get("Date", "")) or now


def _parse_http_date(text: str) -> float | None:
    try:
        moment = email.utils.parsedate_to_datetime(text)
        # The asctime form has no zone, but is UTC as well.
        return moment.replace(tzinfo=moment.tzinfo or datetime.timezone.utc).timestamp()
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
