"""How many requests run at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from td_pinterest_op.audiences.concurrency import ConcurrencyLimit


def sizes(limit: ConcurrencyLimit, latencies: list[float | None], *, throttled: bool = False) -> list[int]:
    """The size after each answer."""
    seen = []
    for latency in latencies:
        limit.record_response(latency=latency, throttled=throttled)
        seen.append(limit.size)
    return seen


def grown(most: int = 8) -> ConcurrencyLimit:
    limit = ConcurrencyLimit(maximum=most)
    sizes(limit, [1.0] * most)
    return limit


def test_limit_grows_by_one_for_each_good_response_up_to_its_maximum() -> None:
    assert [2, 3, 4, 5, 6, 7, 8, 8, 8] == sizes(ConcurrencyLimit(maximum=8), [1.0] * 9)


def test_responses_in_flight_at_a_halving_do_not_halve_the_limit_again() -> None:
    assert [4] + [4] * 7 + [2] == sizes(grown(), [1.0] * 9, throttled=True)


def test_limit_grows_by_one_a_round_trip_after_a_halving() -> None:
    limit = grown(16)
    limit.record_response(latency=1.0, throttled=True)
    assert [8] * 7 == sizes(limit, [1.0] * 7)
    assert 9 == sizes(limit, [1.0, 1.0])[-1]


def test_rising_latency_halves_the_limit() -> None:
    seen = sizes(grown(), [3.0] * 6)
    assert 4 == min(seen)


@pytest.mark.parametrize(
    ("first", "later", "halved"),
    [
        # An average that has doubled is no rise until it has also grown by a quarter of a second.
        (0.1, [0.4] * 30, False),
        (0.1, [0.5] * 30, True),
        (1.0, [2.2] * 30, False),
        (1.0, [2.3] * 30, True),
        # One late response among many moves the average by a quarter of the difference.
        (1.0, [6.0, 1.0, 1.0], False),
        (1.0, [6.1, 1.0, 1.0], True),
    ],
)
def test_latency_rises_when_its_average_doubles_and_grows_by_a_quarter_of_a_second(
    first: float, later: list[float | None], halved: bool
) -> None:
    limit = ConcurrencyLimit(maximum=8)
    sizes(limit, [first] * 8)
    assert halved == (min(sizes(limit, later)) < 8)


@pytest.mark.parametrize("jitter", [[0.001, 0.01, 0.2] * 10, [0.9, 1.1] * 15])
def test_jitter_does_not_halve_the_limit(jitter: list[float | None]) -> None:
    assert 8 == sizes(grown(), jitter)[-1]


def test_limit_grows_again_if_the_server_stays_slow() -> None:
    limit = ConcurrencyLimit(maximum=8)
    sizes(limit, [0.1] * 50)
    assert 8 == sizes(limit, [1.5] * 200)[-1]


def test_response_without_latency_does_not_lower_the_average() -> None:
    limit = ConcurrencyLimit(maximum=8)
    assert [2, 3, 4, 5, 6, 7, 8] == sizes(limit, [None, None, 1.0, 1.0, 1.0, None, 1.0])
    assert 8 == sizes(limit, [1.0] * 20)[-1]


@given(
    maximum=st.integers(1, 64),
    answers=st.lists(st.tuples(st.none() | st.floats(0, 1e6), st.booleans()), max_size=200),
)
def test_limit_is_always_between_one_and_its_maximum(maximum: int, answers: list[tuple[float | None, bool]]) -> None:
    limit = ConcurrencyLimit(maximum=maximum)
    for latency, throttled in answers:
        limit.record_response(latency=latency, throttled=throttled)
        assert 1 <= limit.size <= maximum
