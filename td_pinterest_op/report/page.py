"""Renders entries as one self-contained HTML page, without script, for screens, phones and paper, light and dark."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from td_pinterest_op.identifiers.reasons import REASONS
from td_pinterest_op.redaction.secret import mask
from td_pinterest_op.report import figures
from td_pinterest_op.report.audience import AudienceHistory, build_histories, find_failures
from td_pinterest_op.report.charts import draw_line_chart
from td_pinterest_op.report.entry import Entry
from td_pinterest_op.report.funnel import Bar, build_funnel
from td_pinterest_op.report.measures import build_measures
from td_pinterest_op.report.verdict import ReportText, judge
from td_pinterest_op.report.words import action_word

# A page shows and carries this many entries of an audience, the newest ones: a year of daily runs with their
# follow-ups. A page of several audiences carries more, and has a section for each of the first ones.
MOST_ENTRIES, MOST_ENTRIES_OF_ALL = 800, 4000
_ROWS_SHOWN, _FAILURES_SHOWN, _SECTIONS_SHOWN = 60, 5, 20

_IDS = (
    ("action", "action"),
    ("workflow", "workflow"),
    ("ad_account_id", "ad account"),
    ("audience_id", "audience"),
    ("customer_list_id", "customer list of the audience"),
    ("previous_customer_list_id", "customer list before"),
    ("job_id", "Treasure Data job"),
    ("session_time", "session"),
    ("version", "version of the operator"),
)
# A column of the history: the value that it needs, its heading, and its text.
_COLUMNS: tuple[tuple[str, str, Callable[[Entry], str]], ...] = (
    ("mirror_people", "In the audience", lambda entry: figures.number(entry.number("mirror_people"))),
    ("records_sent", "Sent", lambda entry: figures.number(entry.number("records_sent"))),
    ("rows_invalid", "Rejected", lambda entry: figures.share(entry.number("rows_invalid"), entry.number("rows_read"))),
    ("audience_status", "Status", lambda entry: entry.text("audience_status").replace("_", " ").lower() or "–"),
    ("audience_size", "Matched people", lambda entry: figures.number(entry.number("audience_size"))),
    ("members", "Known records", lambda entry: figures.number(entry.number("members"))),
    ("match_ratio", "Share matched", lambda entry: figures.share(entry.number("match_ratio"), 1)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A summary of an audience: its history, the headline, and the funnel of the last run."""

    history: AudienceHistory
    verdict: ReportText
    bars: Sequence[Bar]


def render_page(
    entries: Sequence[Entry], *, report_texts: Mapping[str, ReportText], audience_id: str | None = None, now: datetime
) -> str:
    """Return the HTML report of one audience, or an overview of several.

    `entries` are in the order of time. `report_texts`: what to say after an action, by its name.

    Raises SettingsError if `audience_id` is not among them, or if there is neither a run nor a follow-up.
    """
    summaries = [
        _summarize_audience(history, report_texts) for history in build_histories(entries, audience_id=audience_id)
    ]
    if len(summaries) == 1:
        carried = [*summaries[0].history.entries][-MOST_ENTRIES:]
        return _render_template("audience.html", carried, now=now, **_build_audience_values(summaries[0], carried))
    carried = [*entries][-MOST_ENTRIES_OF_ALL:]
    return _render_template("overview.html", carried, now=now, **_build_overview_values(summaries, carried))


def _summarize_audience(history: AudienceHistory, report_texts: Mapping[str, ReportText]) -> Summary:
    """Return the summary of one audience's history."""
    run = history.run
    return Summary(
        history=history,
        verdict=judge(run, history.follow_up, report_texts=report_texts),
        bars=build_funnel(run, size=history.size_since_run) if run else [],
    )


def _render_template(template: str, carried: Sequence[Entry], *, now: datetime, **values: Any) -> str:
    """Return the page of a template, in which the entries `carried` are stored as data."""
    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        made=figures.day(now),
        data=json.dumps([_build_carried_values(entry) for entry in carried], ensure_ascii=False),
        figures=figures,
        action_word=action_word,
        failures_shown=_FAILURES_SHOWN,
        **values,
    )


def _build_audience_values(summary: Summary, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the values for the template of one audience."""
    history = summary.history
    run = history.run
    sizes = _build_points(entries, "audience_size")
    return {
        "title": history.title,
        "summary": summary,
        "history": history,
        "failed": [entry for entry in find_failures(entries) if entry is not run],
        "measures": [*build_measures(run, history.previous)] if run else [],
        "reasons": REASONS,
        "sizes": draw_line_chart(sizes, label="Matched people over time, as Pinterest counts them"),
        "charts": [(heading, chart) for heading, chart in _draw_charts(entries) if chart],
        "ids": _IDS,
        "columns": [column for column in _COLUMNS if any(entry.text(column[0]) for entry in entries)],
        "rows": [*reversed(entries)][:_ROWS_SHOWN],
        "hidden": max(len(entries) - _ROWS_SHOWN, 0),
    }


def _build_overview_values(summaries: Sequence[Summary], entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the values for the template of several audiences."""
    return {
        "title": f"{len(summaries)} audiences",
        "summaries": summaries,
        "sections": summaries[:_SECTIONS_SHOWN],
        "failed": find_failures(entries),
    }


def _draw_charts(entries: Sequence[Entry]) -> list[tuple[str, Markup | None]]:
    """Return headings and charts over time: known members, the share that is matched, the share that is rejected."""
    members = "Records known to be in the audience"
    ratio = "Share of these records that Pinterest matched, about"
    rejected = "Share of rejected rows"
    ratios = [(at, 100 * share) for at, share in _build_points(entries, "match_ratio")]
    shares = _compute_rejected_shares(entries)
    return [
        (members, draw_line_chart(_build_points(entries, "members"), label=f"{members}, over time")),
        (ratio, _draw_percent_chart(ratios, label=f"{ratio}, over time, in per cent")),
        (rejected, _draw_percent_chart(shares, label=f"{rejected} over time, in per cent", decimals=1)),
    ]


def _draw_percent_chart(points: list[tuple[datetime, float]], *, label: str, decimals: int = 0) -> Markup | None:
    """Return a chart of shares in per cent; None if all of them are zero."""
    if not any(share for _, share in points):
        return None
    return draw_line_chart(points, label=label, formatter=lambda value: f"{value:.{decimals}f} %")


def _compute_rejected_shares(entries: Sequence[Entry]) -> list[tuple[datetime, float]]:
    """Return time and share of rejected rows, in per cent, of each entry that read rows."""
    read = [(entry, entry.at, entry.number("rows_read")) for entry in entries]
    return [(at, 100 * (entry.number("rows_invalid") or 0) / rows) for entry, at, rows in read if at and rows]


def _build_points(entries: Sequence[Entry], name: str) -> list[tuple[datetime, float]]:
    """Return time and value of each entry that has a figure of this name."""
    return [(entry.at, number) for entry in entries if entry.at and (number := entry.number(name)) is not None]


def _build_carried_values(entry: Entry) -> dict[str, Any]:
    """Return an entry's values to store in the page: masked, without those that are not known."""
    values = {name: mask(value) if isinstance(value, str) else value for name, value in entry.values.items()}
    return {
        **{name: value for name, value in values.items() if value is not None and value != ""},
        "kind": entry.kind,
        "outcome": entry.outcome,
        "time": entry.at.timestamp() if entry.at else None,
        "rows_invalid_by_reason": dict(entry.invalid_by_reason),
    }
