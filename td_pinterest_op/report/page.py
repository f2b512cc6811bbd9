"""Renders entries as one self-contained HTML page, without script, for screens, phones and paper, light and dark."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from td_pinterest_op.identifiers.reasons import REASONS
from td_pinterest_op.redaction.secret import mask
from td_pinterest_op.report import figures
from td_pinterest_op.report.audience import build_audience_reports
from td_pinterest_op.report.charts import draw_line_chart
from td_pinterest_op.report.entry import Entry

# A page shows and carries this many entries of an audience, the newest ones: a year of daily runs with their
# follow-ups. A page of several audiences carries more.
_MOST_ENTRIES, _MOST_ENTRIES_OF_ALL = 800, 4000


def render_page(entries: Sequence[Entry], *, audience_id: str | None = None, now: datetime) -> str:
    """Return the HTML report about one audience, or about all (`audience_id` None), made of the history's `entries`.

    `entries` are in the order of time. The page stores them for later reports. Raises SettingsError if no entry is
    about `audience_id`, or if there is neither a run nor a follow-up.
    """
    audiences = build_audience_reports(entries, audience_id=audience_id)
    if len(audiences) == 1:
        entries = audiences[0].entries[-_MOST_ENTRIES:]
        template, values = "audience.html", dict[str, Any](audience=audiences[0], charts=_draw_charts(entries))
    else:
        entries = entries[-_MOST_ENTRIES_OF_ALL:]
        template, values = "overview.html", {"audiences": audiences}
    rows = [_build_stored_row(entry) for entry in entries]
    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        made=figures.format_time(now),
        data=json.dumps(rows, ensure_ascii=False),
        entries=entries,
        filled_columns=set[str]().union(*rows),
        figures=figures,
        reasons=REASONS,
        **values,
    )


def _draw_charts(entries: Sequence[Entry]) -> dict[str, Markup]:
    """Return a report's line charts over time by their headings. Charts of fewer than two points are left out."""
    read = [(entry, entry.at, entry.get_number("rows_read")) for entry in entries]
    rejected = [(at, 100 * (entry.get_number("rows_invalid") or 0) / rows) for entry, at, rows in read if at and rows]
    matched = [(at, 100 * share) for at, share in _build_chart_points(entries, "match_ratio")]
    # Charts of shares that are all zero are left out.
    rejected, matched = (points if any(share for _, share in points) else [] for points in (rejected, matched))
    sizes, members = (_build_chart_points(entries, column) for column in ("audience_size", "members"))
    ratio = "Share of these records that Pinterest matched, about"
    rows = (
        ("People matched by Pinterest", "Matched people over time, as Pinterest counts them", "{:,.0f}", sizes),
        ("Records known to be in the audience", "Records known to be in the audience, over time", "{:,.0f}", members),
        (ratio, f"{ratio}, over time, in per cent", "{:.0f} %", matched),
        ("Share of rejected rows", "Share of rejected rows over time, in per cent", "{:.1f} %", rejected),
    )
    charts = {
        heading: draw_line_chart(points, label=label, value_format=value_format)
        for heading, label, value_format, points in rows
    }
    return {heading: chart for heading, chart in charts.items() if chart}


def _build_chart_points(entries: Sequence[Entry], column: str) -> list[tuple[datetime, float]]:
    """Return the time and the number in a `column` of each history entry that has both."""
    return [(entry.at, number) for entry in entries if entry.at and (number := entry.get_number(column)) is not None]


def _build_stored_row(entry: Entry) -> dict[str, Any]:
    """Return a history entry as JSON values, without empty ones, for the data that a page keeps for later reports."""
    values = {name: value for name, value in entry.values.items() if value is not None and value != ""}
    return {
        **{name: mask(value) if isinstance(value, str) else value for name, value in values.items()},
        "kind": entry.kind,
        "outcome": entry.outcome,
        "time": entry.at.timestamp() if entry.at else None,
        "rows_invalid_by_reason": dict(entry.invalid_by_reason),
    }
