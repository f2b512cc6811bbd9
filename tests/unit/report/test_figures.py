import pytest

from td_pinterest_op.report import figures


@pytest.mark.parametrize(("value", "text"), [(12345.0, "12,345"), (0, "0"), (None, "–")])
def test_a_number_has_separators(value: float | None, text: str) -> None:
    assert text == figures.format_number(value)


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 3, "33 %"),
        (41, 1000, "4.1 %"),
        (1, 100_000, "< 0.1 %"),
        (0, 5, "0 %"),
        (5, 5, "100 %"),
        (0, 0, "–"),
        (None, 5, "–"),
    ],
)
def test_a_share_is_in_per_cent(part: float | None, whole: float | None, text: str) -> None:
    assert text == figures.format_share(part, whole)


@pytest.mark.parametrize(
    ("now", "before", "text"),
    [(1200, 1000, "+200"), (1000, 2500, "−1,500"), (5, 5, "same"), (5, None, ""), (None, 5, "")],
)
def test_a_change_has_its_sign(now: float | None, before: float | None, text: str) -> None:
    assert text == figures.format_change(now, before)


def test_an_unknown_figure_is_shown_as_unknown() -> None:
    assert figures.format_duration(None) == "–"
    assert figures.format_time(None) == "at an unknown time"
