"""A call that is repeated, and the waits between two tries, as set and as a server asks."""

from collections.abc import Callable, Mapping
from email.utils import formatdate
from itertools import islice

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from td_pinterest_op.http.retry import RetrySchedule, parse_rate_limit_reset, parse_retry_after, retry


def answer(*outcomes: object) -> Callable[[], object]:
    """Return a function that returns each of the outcomes in turn, or raises it if it is an error."""
    left = list(outcomes)

    def call() -> object:
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return call


def test_call_is_repeated_after_each_wait_until_it_succeeds() -> None:
    waited: list[float] = []
    call = answer(OSError(), TimeoutError(), "done")
    assert retry(call, (1.0, 2.0, 3.0), on=OSError, sleep=waited.append) == "done"
    assert waited == [1.0, 2.0]


@pytest.mark.parametrize("outcomes", [[OSError("1"), OSError("last")], [ValueError("last")]])
def test_error_of_the_last_call_is_raised(outcomes: list[object]) -> None:
    with pytest.raises((OSError, ValueError), match="last"):
        retry(answer(*outcomes), (1.0,), on=OSError, sleep=float)


@pytest.mark.parametrize(
    ("initial", "longest", "random", "expected"),
    [
        (0.5, 300, 0.0, [0.5, 1, 2, 4, 8, 16, 32]),
        (0.5, 5, 1.0, [0.75, 1.5, 3, *[5] * 5_000]),
        (0, 300, 1.0, [0] * 2_000),
    ],
)
def test_waits_double_with_up_to_half_added_at_random_up_to_the_longest(
    initial: float, longest: float, random: float, expected: list[float]
) -> None:
    setting = RetrySchedule(count=7, initial_wait=initial, longest_wait=longest, random=lambda: random)
    for _ in range(2):  # every request starts again
        assert list(islice(setting.iterate_endless_waits(), len(expected))) == expected


# -- what a server asks for

NOW = 1_800_000_000.0
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"


def headers(**values: str) -> Mapping[str, str]:
    return CaseInsensitiveDict({name.replace("_", "-"): value for name, value in values.items()})


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("9" * 5_000, 1e9),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1e9),
        (formatdate(NOW + 7, usegmt=True), 7.0),
        ("Fri Jan 15 08:00:09 2027", 9.0),
        ("soon", 0.0),
        ("", 0.0),
        ("Fri, 99 Foo 2027 08:00:09 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(asked: str, expected: float) -> None:
    assert parse_retry_after(headers(Retry_After=asked), now=NOW) == expected


@pytest.mark.parametrize(("date", "wrong_by"), [(DATE, -86_400.0), (DATE, 3_600.0), ("yesterday", 0.0)])
def test_date_is_compared_with_the_servers_clock_if_it_shows_one(date: str, wrong_by: float) -> None:
    now = NOW + wrong_by
    assert parse_retry_after(headers(Date=date, Retry_After=formatdate(NOW + 7, usegmt=True)), now=now) == 7


@pytest.mark.parametrize(
    ("reset", "expected"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("-3", 0.0),
        (str(NOW), 0.0),
        ("nan", 0.0),
        ("", 0.0),
    ],
)
def test_rate_limit_reset_header_is_read_as_seconds(reset: str, expected: float) -> None:
    assert parse_rate_limit_reset(headers(x_ratelimit_reset=reset)) == expected


@given(st.dictionaries(st.sampled_from(["Retry-After", "Date", "x-ratelimit-reset"]), st.text(max_size=40)))
@example({"Retry-After": "9" * 60_000, "x-ratelimit-reset": "9" * 60_000})
def test_any_header_gives_no_wait_or_one_within_bounds(description: dict[str, str]) -> None:
    given_headers = CaseInsensitiveDict(description)
    for asked in (parse_retry_after(given_headers, now=NOW), parse_rate_limit_reset(given_headers)):
        assert 0 <= asked <= 1e9
