"""The waits between two tries."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from td_pinterest_op.retry import Retry


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
