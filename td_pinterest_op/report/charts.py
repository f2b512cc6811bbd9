"""Line charts as SVG, without script or style: the page's style sheet colors them."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from xml.etree.ElementTree import Element

import pygal
from markupsafe import Markup
from pygal.style import Style

ChartPoints = Sequence[tuple[datetime, float]]

# Width, height and font size in pixels, and the number of labels of the time axis. On a phone, a page shows the narrow
# chart, so that text keeps its size.
_CHART_SIZES = {"wide": (960, 300, 14, 7), "narrow": (350, 260, 12, 3)}


def draw_line_chart(points: ChartPoints, *, label: str, value_format: str = "{:,.0f}") -> Markup | None:
    """Return a line chart as SVG, for wide and for narrow screens, or None for fewer than two points in time.

    `points`: in the order of time. `label`: for users of a screen reader.
    """
    if len({at for at, _ in points}) < 2:
        return None

    def strip_to_image(root: Element) -> Element:
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

    first = points[0][0]
    last = points[-1][0]
    form = "%d %b" if last - first > timedelta(days=7) else "%d %b, %H:%M"
    charts = []
    for size, (width, height, font, ticks) in _CHART_SIZES.items():
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
            xrange=(first, last),
        )
        chart.x_labels = [first + (last - first) * tick / (ticks - 1) for tick in range(ticks)]
        chart.add("", points)
        chart.add_xml_filter(strip_to_image)
        charts.append(Markup(chart.render(is_unicode=True, disable_xml_declaration=True)))  # noqa: S704 - pygal escapes
    return Markup("").join(charts)
