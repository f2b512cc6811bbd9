"""Line charts as SVG, without script or style: the page's style sheet colors them."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from xml.etree.ElementTree import Element

import pygal
from markupsafe import Markup
from pygal.style import Style

Points = Sequence[tuple[datetime, float]]

# Width, height and font size in pixels, and the most ticks of the time axis. A page shows the wide chart or, on a
# phone, the narrow one, so that text keeps its size.
_SIZES = {"wide": (960, 300, 14, 7), "narrow": (350, 260, 12, 3)}


def draw_line_chart(points: Points, *, label: str, value_format: str = "{:,.0f}") -> Markup | None:
    """Return a line chart in two sizes, for wide and narrow screens, or None for fewer than two points in time.

    `points` are in the order of time. `label` describes the chart to users of a screen reader.
    """
    if len({at for at, _ in points}) < 2:
        return None
    return Markup("").join(_draw_chart(points, size=size, label=label, value_format=value_format) for size in _SIZES)


def _draw_chart(points: Points, *, size: str, label: str, value_format: str) -> Markup:
    """Return a line chart in one `size` ("wide" or "narrow"). Other parameters: see `draw_line_chart`."""
    width, height, font, most_ticks = _SIZES[size]
    ticks, form = _choose_ticks(points, maximum=most_ticks)
    chart = pygal.DateTimeLine(
        style=Style(label_font_size=font, major_label_font_size=font),
        js=[],
        css=[],
        classes=("chart", size),
        width=width,
        height=height,
        margin=8,
        margin_right=44,  # room for half of the last date
        show_legend=False,
        truncate_label=-1,
        fill=True,
        range=(0, max(value for _, value in points) or 1),
        max_scale=5,
        dots_size=4,
        x_value_formatter=lambda at: f"{at:{form}}".lstrip("0"),
        value_formatter=value_format.format,
        xrange=(points[0][0], points[-1][0]),
    )
    chart.x_labels = ticks
    chart.add("", points)
    chart.add_xml_filter(lambda root: _strip_to_image(root, label=label))
    return Markup(chart.render(is_unicode=True, disable_xml_declaration=True))  # noqa: S704 - pygal escapes


def _choose_ticks(points: Points, *, maximum: int) -> tuple[list[datetime], str]:
    """Return up to `maximum` points in time to label on the axis, and a strftime format: days, or also hours."""
    first = points[0][0]
    span = points[-1][0] - first
    if span < timedelta(days=2):
        return [first, points[-1][0]], "%d %b, %H:%M"
    days = math.ceil(span.days / (maximum - 1))
    return [first + timedelta(days=day) for day in range(0, span.days + 1, days)], "%d %b"


def _strip_to_image(root: Element, *, label: str) -> Element:
    """Return a chart as one labelled image, without pygal's script, styles, tooltips and hidden texts."""
    unwanted = {"defs", "title", "desc", "script", "style"}
    for parent in list(root.iter()):
        for child in list(parent):
            is_comment = not isinstance(child.tag, str)
            if is_comment or child.tag in unwanted or "tooltip-overlay" in child.get("class", ""):
                parent.remove(child)
    root.attrib.pop("id", None)
    root.set("role", "img")
    root.set("aria-label", label)
    return root
