"""Renders entries as one self-contained HTML page, without script, for screens, phones and paper, light and dark."""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from td_pinterest_op.identifiers.reasons import REASONS
from td_pinterest_op.redaction.secret import mask
from td_pinterest_op.report import figures
from td_pinterest_op.report.audience import AudienceHistory, build_histories
from td_pinterest_op.report.charts import Points, draw_line_chart
from td_pinterest_op.report.entry import Entry
from td_pinterest_op.report.figures import format_duration, format_number, format_share
from td_pinterest_op.report.funnel import build_funnel
from td_pinterest_op.report.verdict import choose_report_text
from td_pinterest_op.run_history.table import FAILED

# A page shows and carries this many entries of an audience, the newest ones: a year of daily runs with their
# follow-ups. A page of several audiences carries more, and has a section for each of the first ones.
_MOST_ENTRIES, _MOST_ENTRIES_OF_ALL = 800, 4000
_ROWS_SHOWN, _FAILURES_SHOWN, _SECTIONS_SHOWN = 60, 5, 20

# A column of the table of the history: the value that it needs, its heading, and its text.
_COLUMNS: tuple[tuple[str, str, Callable[[Entry], str]], ...] = (
    ("mirror_people", "In the audience", lambda entry: format_number(entry.get_number("mirror_people"))),
    ("records_sent", "Sent", lambda entry: format_number(entry.get_number("records_sent"))),
    (
        "rows_invalid",
        "Rejected",
        lambda entry: format_share(entry.get_number("rows_invalid"), entry.get_number("rows_read")),
    ),
    ("audience_status", "Status", lambda entry: entry.get_text("audience_status").replace("_", " ").lower() or "–"),
    ("audience_size", "Matched people", lambda entry: format_number(entry.get_number("audience_size"))),
    ("members", "Known records", lambda entry: format_number(entry.get_number("members"))),
    ("match_ratio", "Share matched", lambda entry: format_share(entry.get_number("match_ratio"), 1)),
)


def render_page(entries: Sequence[Entry], *, audience_id: str | None = None, now: datetime) -> str:
    """Return the HTML report about one audience, or an overview of several audiences.

    `entries` are in the order of time.

    Raises SettingsError if no entry is about `audience_id`, or if there is neither a run nor a follow-up.
    """
    histories = build_histories(entries, audience_id=audience_id)
    summaries = [
        {
            "history": history,
            "verdict": choose_report_text(history.run, history.follow_up),
            "bars": build_funnel(history.run, size=history.size_since_run) if history.run else [],
        }
        for history in histories
    ]
    if len(histories) == 1:
        stored_entries = [*histories[0].entries][-_MOST_ENTRIES:]
        values = _build_audience_values(histories[0], stored_entries)
        return _render_template("audience.html", stored_entries, now=now, summary=summaries[0], **values)
    stored_entries = [*entries][-_MOST_ENTRIES_OF_ALL:]
    return _render_template(
        "overview.html",
        stored_entries,
        now=now,
        title=f"{len(summaries)} audiences",
        summaries=summaries,
        sections=summaries[:_SECTIONS_SHOWN],
        failed=_find_failures(stored_entries),
    )


def _render_template(template: str, stored_entries: Sequence[Entry], *, now: datetime, **values: Any) -> str:
    """Return the HTML page of a template. It also contains `stored_entries` as JSON, for later pages."""
    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        made=figures.format_time(now),
        data=json.dumps([_build_stored_values(entry) for entry in stored_entries], ensure_ascii=False),
        figures=figures,
        failures_shown=_FAILURES_SHOWN,
        **values,
    )


def _build_audience_values(history: AudienceHistory, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the values that the template of one audience's page needs."""
    run = history.run
    sizes = _build_points(entries, "audience_size")
    return {
        "title": history.title,
        "history": history,
        "failed": [entry for entry in _find_failures(entries) if entry is not run],
        "compare_figures": partial(_compare_figures, run, history.previous) if run else None,
        "reasons": REASONS,
        "sizes": draw_line_chart(sizes, label="Matched people over time, as Pinterest counts them"),
        "charts": [*_draw_charts(entries)],
        "columns": [column for column in _COLUMNS if any(entry.get_text(column[0]) for entry in entries)],
        "rows": [*reversed(entries)][:_ROWS_SHOWN],
        "hidden": max(len(entries) - _ROWS_SHOWN, 0),
    }


def _find_failures(entries: Sequence[Entry]) -> list[Entry]:
    """Return the failed entries, newest first."""
    return [entry for entry in reversed(entries) if entry.outcome == FAILED]


def _compare_figures(run: Entry, previous: Entry | None, columns: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    """Return figures of two runs as text, without those that are zero. `columns`: group, name and label."""
    compared = []
    for group, name, label in columns:
        now, before = run.get_number(name), previous.get_number(name) if previous else None
        if now is None or not (now or before):
            continue
        is_time = group == "Time"
        format_figure = format_duration if is_time else format_number
        change = "" if is_time else figures.format_change(now, before)
        texts = {"now": format_figure(now), "before": format_figure(before), "change": change}
        compared.append({"group": group, "label": label, **texts})
    return compared


def _draw_charts(entries: Sequence[Entry]) -> Iterator[tuple[str, Markup]]:
    """Yield a heading and a chart over time for known records, the matched share, and the rejected share."""
    read = [(entry, entry.at, entry.get_number("rows_read")) for entry in entries]
    rejected = [(at, 100 * (entry.get_number("rows_invalid") or 0) / rows) for entry, at, rows in read if at and rows]
    matched = [(at, 100 * share) for at, share in _build_points(entries, "match_ratio")]
    # Charts of shares that are all zero are left out.
    rejected, matched = (points if any(share for _, share in points) else [] for points in (rejected, matched))
    ratio = "Share of these records that Pinterest matched, about"
    charts: dict[str, tuple[str, Points, Callable[[float], str]]] = {
        "Records known to be in the audience": (", over time", _build_points(entries, "members"), format_number),
        ratio: (", over time, in per cent", matched, "{:.0f} %".format),
        "Share of rejected rows": (" over time, in per cent", rejected, "{:.1f} %".format),
    }
    for heading, (label, points, formatter) in charts.items():
        if chart := draw_line_chart(points, label=heading + label, formatter=formatter):
            yield heading, chart


def _build_points(entries: Sequence[Entry], name: str) -> list[tuple[datetime, float]]:
    """Return the time and the number of each entry that has a number in the column `name`."""
    return [(entry.at, number) for entry in entries if entry.at and (number := entry.get_number(name)) is not None]


def _build_stored_values(entry: Entry) -> dict[str, Any]:
    """Return an entry's known values, masked, in the form in which a page stores them."""
    values = {name: mask(value) if isinstance(value, str) else value for name, value in entry.values.items()}
    return {
        **{name: value for name, value in values.items() if value is not None and value != ""},
        "kind": entry.kind,
        "outcome": entry.outcome,
        "time": entry.at.timestamp() if entry.at else None,
        "rows_invalid_by_reason": dict(entry.invalid_by_reason),
    }
