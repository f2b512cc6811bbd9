import re
from datetime import timedelta
from xml.etree import ElementTree

import pytest

from td_pinterest_op.report.charts import draw_line_chart
from tests.unit.report.samples import FIRST_DAY


def days(count: int) -> list[tuple[object, float]]:
    return [(FIRST_DAY + timedelta(days=day), 100.0 * day) for day in range(count)]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_points_give_no_chart(count: int) -> None:
    assert draw_line_chart(days(count), label="People") is None  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [2, 400])
def test_a_chart_is_a_wide_and_a_narrow_image_with_a_label_and_without_script(count: int) -> None:
    chart = draw_line_chart(days(count), label='People "over" <time>')  # type: ignore[arg-type]
    assert chart is not None
    root = ElementTree.fromstring(f"<both>{chart}</both>")
    assert [svg.get("class") for svg in root] == ["chart wide", "chart narrow"]
    assert {svg.get("role") for svg in root} == {"img"}
    assert {svg.get("aria-label") for svg in root} == {'People "over" <time>'}
    tags = {re.sub(r"\{.*\}", "", element.tag) for svg in root for element in svg.iter()}
    assert tags - {"svg", "g", "rect", "path", "text", "circle"} == set()


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ([0, 3, 9], ["1 Nov, 07:00", "1 Nov, 11:30", "1 Nov, 16:00"]),
        ([0, 24, 24 * 16], ["1 Nov", "9 Nov", "17 Nov"]),
    ],
)
def test_points_of_a_few_days_have_hours_on_the_axis(hours: list[float], expected: list[str]) -> None:
    chart = draw_line_chart([(FIRST_DAY + timedelta(hours=hour), hour) for hour in hours], label="People")
    narrow = str(chart).split("chart narrow")[1]
    assert re.findall(r">(\d+ Nov[^<]*)<", narrow) == expected
