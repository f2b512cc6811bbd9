"""How many requests run at once."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from td_pinterest_op.audiences.sender import ConcurrencyLimit


def sizes(limit: ConcurrencyLimit, answers: Iterable[bool]) -> list[int]:
    """The size after each answer, which is throttled or not."""
    seen = []
    for throttled in answers:
        limit.record_response(throttled=throttled)
        seen.append(limit.size)
    return seen


def grown(most: int = 8) -> ConcurrencyLimit:
    limit = ConcurrencyLimit(maximum=most)
    sizes(limit, [False] * most)
    return limit


def test_limit_grows_by_one_for_each_good_response_up_to_its_maximum() -> None:
    assert sizes(ConcurrencyLimit(maximum=8), [False] * 9) == [2, 3, 4, 5, 6, 7, 8, 8, 8]


def test_responses_in_flight_at_a_halving_do_not_halve_the_limit_again() -> None:
    assert sizes(grown(), [True] * 9) == [4] + [4] * 7 + [2]


def test_limit_grows_by_one_a_round_trip_after_a_halving() -> None:
    limit = grown(16)
    assert sizes(limit, [True] + [False] * 7) == [8] * 8
    assert sizes(limit, [False, False])[-1] == 9


@given(maximum=st.integers(1, 64), answers=st.lists(st.booleans(), max_size=200))
def test_limit_is_always_between_one_and_its_maximum(maximum: int, answers: list[bool]) -> None:
    assert all(1 <= size <= maximum for size in sizes(ConcurrencyLimit(maximum=maximum), answers))
