"""The limits that all requests of a run share."""

import heapq
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from td_pinterest_op.errors import StoppedError
from td_pinterest_op.pinterest.rate_limit import MINUTE, RateLimiter
from td_pinterest_op.runtime.clock import Timing
from tests.campaigns import examples
from tests.clock import FakeTime

NOW = 1_800_000_000.0


class _LaterError(Exception):
    """Raised instead of sleeping, so that many requests can wait in one thread."""


def simulate(
    *, requests: int, per_minute: int, in_flight: int, latency: Callable[[], float], arrival: Callable[[], float]
) -> tuple[list[float], float]:
    """When each request of a run in simulated time arrived, and when the run ended.

    `arrival` is the share of its latency after which a request reaches the server.
    """
    now = 0.0
    asked = 0.0

    def sleep(seconds: float) -> None:
        nonlocal asked
        asked = seconds
        raise _LaterError

    rate_limiter = RateLimiter(
        requests_per_minute=per_minute, timing=Timing(monotonic=lambda: now, now=lambda: now, sleep=sleep)
    )
    # What is to happen: (when, number, the permit that is answered then or None for a request that wants to leave).
    events: list[tuple[float, int, AbstractContextManager[float] | None]] = [
        (0.0, number, None) for number in range(in_flight)
    ]
    to_send = requests
    numbers = iter(range(in_flight, 10**9))
    arrivals = list[float]()
    ended = 0.0
    while events and to_send:
        now, _, permit = heapq.heappop(events)
        if permit is not None:
            permit.__exit__(None, None, None)
            heapq.heappush(events, (now, next(numbers), None))
            continue
        try:
            permit = rate_limiter.wait_for_permit(write=True)
            permit.__enter__()
        except _LaterError:
            heapq.heappush(events, (now + asked, next(numbers), None))
            continue
        took = latency()
        to_send -= 1
        arrivals.append(now + took * arrival())
        ended = max(ended, now + took)
        heapq.heappush(events, (now + took, next(numbers), permit))
    return arrivals, ended


@settings(max_examples=examples(60))
@given(
    seed=st.integers(0, 2**32),
    per_minute=st.integers(1, 30),
    in_flight=st.integers(1, 8),
    slowest=st.sampled_from([0.01, 1.0, 20.0, 130.0]),
)
def test_no_minute_of_arrivals_ever_holds_more_than_the_limit(
    seed: int, per_minute: int, in_flight: int, slowest: float
) -> None:
    chance = random.Random(seed)
    arrivals, _ = simulate(
        requests=4 * per_minute,
        per_minute=per_minute,
        in_flight=in_flight,
        latency=lambda: chance.uniform(0, slowest),
        arrival=lambda: chance.choice([0.0, 1.0, chance.random()]),
    )
    arrivals.sort()
    assert len(arrivals) == 4 * per_minute
    windows = zip(arrivals, arrivals[per_minute:], strict=False)
    assert all(later - first >= MINUTE - 1e-6 for first, later in windows)


@pytest.mark.parametrize(
    ("requests", "per_minute", "in_flight", "latency", "ideal"),
    [
        # the rate is the limit
        (971, 400, 8, 1.0, 971 / 400 * 60),
        # the latency is
        (971, 400, 1, 1.0, 971.0),
        (200, 400, 8, 0.5, 200 * 0.5 / 8),
    ],
)
def test_run_takes_no_longer_than_limit_and_latency_require(
    requests: int, per_minute: int, in_flight: int, latency: float, ideal: float
) -> None:
    _, ended = simulate(
        requests=requests, per_minute=per_minute, in_flight=in_flight, latency=lambda: latency, arrival=lambda: 1.0
    )
    assert ended <= 1.05 * ideal


def paced(time: FakeTime, *, per_minute: int = 390, now: Callable[[], float] | None = None) -> RateLimiter:
    timing = Timing(monotonic=time.now, now=now or time.now, sleep=time.sleep)
    return RateLimiter(requests_per_minute=per_minute, timing=timing)


def send(rate_limiter: RateLimiter, *, write: bool) -> float:
    """Send a request that takes no time. Returns the seconds that it waited before."""
    with rate_limiter.wait_for_permit(write=write) as waited:
        return waited


def test_block_holds_every_request_until_the_longest_one_ends() -> None:
    time = FakeTime()
    rate_limiter = paced(time)
    rate_limiter.delay_all_requests(7)
    rate_limiter.delay_all_requests(3)
    assert send(rate_limiter, write=False) == 7
    assert send(rate_limiter, write=True) == 0
    assert time.now() == NOW + 7


def test_block_holds_a_request_that_is_waiting_already() -> None:
    time = FakeTime()
    rate_limiter = paced(time)

    def sleep(seconds: float) -> None:
        if not time.slept:
            rate_limiter.delay_all_requests(20)
        time.sleep(seconds)

    rate_limiter._sleep = sleep
    rate_limiter.delay_all_requests(2)
    send(rate_limiter, write=True)
    assert time.now() == NOW + 20


@pytest.mark.parametrize(
    ("wait", "counts"),
    [
        (lambda own, _other: own.wait(1), True),
        (lambda _own, other: other.wait(1), False),
        (lambda own, _other: own.delay_all_requests(1), True),
        (lambda _own, other: other.delay_all_requests(1), True),
        (lambda _own, other: other.delay_all_requests(0), False),
        (lambda own, _other: [send(own, write=True) for _ in range(6)], False),
        (lambda own, _other: [send(own, write=True) for _ in range(7)], True),
        (lambda own, other: [send(other, write=True) for _ in range(6)] and send(own, write=True), True),
    ],
)
def test_waits_are_own_retries_pauses_of_all_and_long_pauses_before_an_own_request(
    wait: Callable[[RateLimiter, RateLimiter], Any], counts: bool
) -> None:
    own = paced(FakeTime(), per_minute=6)
    other = own.copy_with_shared_limits()
    wait(own, other)
    assert (own.past_wait_count > 0) == counts


def test_stopped_limiter_lets_no_request_leave_and_names_the_first_reason() -> None:
    rate_limiter = paced(FakeTime())
    rate_limiter.stop(RuntimeError("the first"))
    rate_limiter.stop(RuntimeError("the second"))
    for write in (True, False):
        with pytest.raises(StoppedError, match="the first"):
            send(rate_limiter, write=write)
    with pytest.raises(StoppedError, match="the first"):
        rate_limiter.wait(1)


@pytest.mark.parametrize(
    "wait", [lambda rate_limiter: send(rate_limiter, write=True), lambda rate_limiter: rate_limiter.wait(300)]
)
def test_waiting_request_notices_the_stop_within_a_second(wait: Callable[[RateLimiter], Any]) -> None:
    time = FakeTime()
    rate_limiter = paced(time)
    rate_limiter.delay_all_requests(300)

    def sleep(seconds: float) -> None:
        if time.now() >= NOW + 5:
            rate_limiter.stop(RuntimeError("enough"))
        time.sleep(seconds)

    rate_limiter._sleep = sleep
    with pytest.raises(StoppedError):
        wait(rate_limiter)
    assert time.now() <= NOW + 6


def test_reads_are_not_limited_and_do_not_delay_writes() -> None:
    time = FakeTime()
    rate_limiter = paced(time, per_minute=20)
    for write in [False] * 500 + [True] * 20:
        assert send(rate_limiter, write=write) == 0
    assert send(rate_limiter, write=True) == MINUTE
