"""The waits between two tries."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from td_pinterest_op.retry import Retry, duration


def waits(count: int, *, initial: float = 0.5, longest: float = 300.0, random: float = 0.0) -> list[float]:
    retry = Retry(count=7, initial_wait=initial, longest_wait=longest, random=lambda: random)
    return list(islice(retry.waits(), count))


def test_they_double_from_the_first() -> None:
    assert [0.5, 1, 2, 4, 8, 16, 32] == waits(7)


@pytest.mark.parametrize(("random", "expected"), [(0.0, [0.5, 1, 2]), (0.5, [0.625, 1.25, 2.5]), (1.0, [0.75, 1.5, 3])])
def test_up_to_half_as_much_again_is_added_at_random(random: float, expected: list[float]) -> None:
    assert expected == waits(3, random=random)


def test_none_is_longer_than_the_longest_even_with_what_is_added() -> None:
    assert [0.75, 1.5, 3, 5, 5, 5] == waits(6, longest=5, random=1.0)


def test_they_never_end_nor_grow_out_of_hand() -> None:
    assert [300.0] * 10 == waits(5_000)[-10:]


def test_no_wait_at_all_can_be_asked_for() -> None:
    assert [0, 0, 0] == waits(3, initial=0, random=1.0)


def test_every_request_begins_anew() -> None:
    retry = Retry(count=7, initial_wait=1, longest_wait=60, random=lambda: 0)
    assert [1, 2] == list(islice(retry.waits(), 2)) == list(islice(retry.waits(), 2))


@given(
    initial=st.floats(0, 3600), longest=st.floats(0, 86_400), randoms=st.lists(st.floats(0, 1), min_size=1, max_size=30)
)
def test_each_lies_between_its_base_and_half_as_much_again(
    initial: float, longest: float, randoms: list[float]
) -> None:
    rolled = iter(randoms)
    retry = Retry(count=7, initial_wait=initial, longest_wait=longest, random=lambda: next(rolled))
    for number, wait in enumerate(islice(retry.waits(), len(randoms))):
        base = min(initial * 2**number, longest)
        assert base <= wait <= min(base * 1.5, longest)


@pytest.mark.parametrize(
    ("count", "initial", "waits"),
    [
        (7, 0.5, [0.5, 1, 2, 4, 8, 16, 32]),
        (2, 0.5, [0.5, 1, 2, 4, 8, 16]),
        (0, 20, [20, 40]),
        (0, 0, [0.5] * 60),
    ],
)
def test_whoever_waits_for_another_waits_as_long_as_the_retries_and_at_least_as_long_as_it_says(
    count: int, initial: float, waits: list[float]
) -> None:
    retry = Retry(count=count, initial_wait=initial, longest_wait=300, random=lambda: 0)
    assert waits == list(retry.waits_for(30))


@pytest.mark.parametrize(
    ("seconds", "text", "with_end"),
    [
        (0.5, "0.5 s", "0.5 s"),
        (119.9, "119.9 s", "119.9 s"),
        (120, "2 min", "2 min (until 08:02 UTC)"),
        (3599, "1 h 0 min", "1 h 0 min (until 08:59 UTC)"),
        (7500, "2 h 5 min", "2 h 5 min (until 10:05 UTC)"),
        (86_400, "24 h 0 min", "24 h 0 min (until 2027-01-16 08:00 UTC)"),
    ],
)
def test_a_time_is_told_in_the_units_that_fit_and_with_its_end(seconds: float, text: str, with_end: str) -> None:
    assert text == duration(seconds)
    assert with_end == duration(seconds, wall=1_800_000_000)


def test_a_time_beyond_all_dates_has_some_end() -> None:
    assert "until" in duration(1e12, wall=1_800_000_000)
