"""Renders entries as one self-contained HTML page, without script, for screens, phones and paper, light and dark."""

from __future__ import annotations

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
from td_pinterest_op.report.audience import AudienceHistory, failures, histories
from td_pinterest_op.report.charts import draw_line_chart
from td_pinterest_op.report.entry import Entry
from td_pinterest_op.report.funnel import Bar, funnel
from td_pinterest_op.report.measures import measures
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
    """An audience in short: its history, the headline, and the picture of the last run."""

    history: AudienceHistory
    verdict: ReportText
    bars: Sequence[Bar]


def render_page(
    entries: Sequence[Entry], *, report_texts: Mapping[str, ReportText], audience_id: str | None = None, now: datetime
) -> str:
    """Return the report of an audience: its last run, and its history; of several audiences, an overview.

    `entries` are in the order of time. `report_texts`: what to say after an action, by its name.

    Raises SettingsError if `audience_id` is not among them, or if there is neither a run nor a follow-up.
    """
    summaries = [_summarize(history, report_texts) for history in histories(entries, audience_id=audience_id)]
    if len(summaries) == 1:
        carried = [*summaries[0].history.entries][-MOST_ENTRIES:]
        return _render("audience.html", carried, now=now, **_audience_values(summaries[0], carried))
    carried = [*entries][-MOST_ENTRIES_OF_ALL:]
    return _render("overview.html", carried, now=now, **_overview_values(summaries, carried))


def _summarize(history: AudienceHistory, report_texts: Mapping[str, ReportText]) -> Summary:
    run = history.run
    return Summary(
        history=history,
        verdict=judge(run, history.follow_up, report_texts=report_texts),
        bars=funnel(run, size=history.size_since_run) if run else [],
    )


def _render(template: str, carried: Sequence[Entry], *, now: datetime, **values: Any) -> str:
    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        made=figures.day(now),
        data=json.dumps([_carried_values(entry) for entry in carried], ensure_ascii=False),
        figures=figures,
        action_word=action_word,
        failures_shown=_FAILURES_SHOWN,
        **values,
    )


def _audience_values(summary: Summary, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the values for the template of one audience."""
    history = summary.history
    run = history.run
    sizes = _points(entries, "audience_size")
    return {
        "title": history.title,
        "summary": summary,
        "history": history,
        "failed": [entry for entry in failures(entries) if entry is not run],
        "measures": [*measures(run, history.previous)] if run else [],
        "reasons": REASONS,
        "sizes": draw_line_chart(sizes, label="Matched people over time, as Pinterest counts them"),
        "charts": [(heading, chart) for heading, chart in _draw_charts(entries) if chart],
        "ids": _IDS,
        "columns": [column for column in _COLUMNS if any(entry.text(column[0]) for entry in entries)],
        "rows": [*reversed(entries)][:_ROWS_SHOWN],
        "hidden": max(len(entries) - _ROWS_SHOWN, 0),
    }


def _overview_values(summaries: Sequence[Summary], entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the values for the template of several audiences."""
    return {
        "title": f"{len(summaries)} audiences",
        "summaries": summaries,
        "sections": summaries[:_SECTIONS_SHOWN],
        "failed": failures(entries),
    }


def _draw_charts(entries: Sequence[Entry]) -> list[tuple[str, Markup | None]]:
    """Return headings and charts of the records in the audience, the share that is matched, and that rejected."""
    members = "Records known to be in the audience"
    ratio = "Share of these records that Pinterest matched, about"
    rejected = "Share of rejected rows"
    ratios = [(at, 100 * share) for at, share in _points(entries, "match_ratio")]
    return [
        (members, draw_line_chart(_points(entries, "members"), label=f"{members}, over time")),
        (ratio, _draw_percent(ratios, label=f"{ratio}, over time, in per cent")),
        (rejected, _draw_percent(_rejected_shares(entries), label=f"{rejected} over time, in per cent", decimals=1)),
    ]


def _draw_percent(points: list[tuple[datetime, float]], *, label: str, decimals: int = 0) -> Markup | None:
    if not any(share for _, share in points):
        return None
    return draw_line_chart(points, label=label, formatter=lambda value: f"{value:.{decimals}f} %")


def _rejected_shares(entries: Sequence[Entry]) -> list[tuple[datetime, float]]:
    read = [(entry, entry.at, entry.number("rows_read")) for entry in entries]
    return [(at, 100 * (entry.number("rows_invalid") or 0) / rows) for entry, at, rows in read if at and rows]


def _points(entries: Sequence[Entry], name: str) -> list[tuple[datetime, float]]:
    return [(entry.at, number) for entry in entries if entry.at and (number := entry.number(name)) is not None]


def _carried_values(entry: Entry) -> dict[str, Any]:
    """Return an entry for the data in the page: masked, without values that are not known."""
    values = {name: mask(value) if isinstance(value, str) else value for name, value in entry.values.items()}
    return {
        **{name: value for name, value in values.items() if value is not None and value != ""},
        "kind": entry.kind,
        "outcome": entry.outcome,
        "time": entry.at.timestamp() if entry.at else None,
        "rows_invalid_by_reason": dict(entry.invalid_by_reason),
    }
