from collections.abc import Callable

import pytest

from td_pinterest_op.report import figures


@pytest.mark.parametrize(
    ("form", "values", "text"),
    [
        (figures.format_number, (12345.0,), "12,345"),
        (figures.format_number, (0,), "0"),
        (figures.format_number, (None,), "–"),
        (figures.format_share, (1, 3), "33.3 %"),
        (figures.format_share, (0, 0), "–"),
        (figures.format_share, (None, 5), "–"),
        (figures.format_difference, (1200, 1000), "+200"),
        (figures.format_difference, (1000, 2500), "−1,500"),
        (figures.format_difference, (5, 5), "same"),
        (figures.format_difference, (5, None), ""),
        (figures.format_duration_or_dash, (None,), "–"),
        (figures.format_time, (None,), "at an unknown time"),
    ],
)
def test_a_figure_is_written_for_people(form: Callable[..., str], values: tuple[float | None, ...], text: str) -> None:
    assert form(*values) == text
