"""How spans of time are written."""

import pytest

from td_pinterest_op.runtime.clock import format_duration


@pytest.mark.parametrize(
    ("seconds", "text", "with_end"),
    [
        (0, "0 s", "0 s"),
        (0.42, "0.4 s", "0.4 s"),
        (59.6, "1 min", "1 min"),
        (120, "2 min", "2 min (until 08:02 UTC)"),
        (200, "3 min 20 s", "3 min 20 s (until 08:03 UTC)"),
        (3599, "59 min 59 s", "59 min 59 s (until 08:59 UTC)"),
        (7500, "2 h 5 min", "2 h 5 min (until 10:05 UTC)"),
        (86_400, "24 h", "24 h (until 2027-01-16 08:00 UTC)"),
    ],
)
def test_duration_has_two_units_and_a_long_one_its_end(seconds: float, text: str, with_end: str) -> None:
    assert text == format_duration(seconds)
    assert with_end == format_duration(seconds, start_time=1_800_000_000)
