"""Renders entries as one self-contained HTML page, without script, for screens, phones and paper, light and dark."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.identifiers.reasons import REASONS
from td_pinterest_op.report import figures
from td_pinterest_op.report.charts import draw_line_chart
from td_pinterest_op.report.entry import Entry
from td_pinterest_op.report.funnel import Bar, build_funnel
from td_pinterest_op.report.verdict import ReportText, choose_report_text
from td_pinterest_op.run_history.history_table import FOLLOW_UP, LIFT, RUN, SUCCESS

_MOST_ENTRIES = 800  # of one audience, the newest ones: a year of daily runs with their follow-ups


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceReport:
    """What a report shows of one audience: its history (`entries`), and the newest entry of each kind."""

    audience_id: str  # "" if no entry has an id
    title: str  # the newest known name, or else the id
    entries: Sequence[Entry]  # oldest first
    run: Entry | None  # the last run
    previous: Entry | None  # the run before the last run
    latest_entry: Entry  # the last run or, without a run, the last follow-up
    size: Entry | None  # the newest entry with a size
    size_since_run: Entry | None  # the newest entry with a size after the last run
    lift: Entry | None  # the newest successful comparison with the control group
    verdict: ReportText
    bars: Sequence[Bar]  # the funnel of the last run


def render_page(entries: Sequence[Entry], *, audience_id: str | None = None, now: datetime) -> str:
    """Return the HTML report about one audience, or about all (`audience_id` None), made of the history's `entries`.

    `entries` are in the order of time. Raises SettingsError if there is neither a run nor a follow-up.
    """
    audiences = _build_audience_reports(entries, audience_id=audience_id)
    erasures = [entry for entry in entries if entry.is_erasure]
    values: dict[str, Any]
    if len(audiences) == 1:
        entries = audiences[0].entries[-_MOST_ENTRIES:]
        charts = {}
        for heading, column, factor, value_format in (
            ("Matched by Pinterest", "audience_size", 1, "{:,.0f}"),
            ("Records known to be in the audience", "members", 1, "{:,.0f}"),
            ("Share of these records that Pinterest matched, about", "match_ratio", 100, "{:.0f} %"),
        ):
            points = []
            for entry in entries:
                number = entry.get_number(column)
                if entry.at and number is not None:
                    points.append((entry.at, factor * number))
            # None for fewer than two points in time.
            chart = draw_line_chart(points, label=f"{heading}, over time", value_format=value_format)
            if chart:
                charts[heading] = chart
        filled = {name for entry in entries for name in entry.values if entry.get_text(name)}
        template = "audience.html"
        values = {"audience": audiences[0], "charts": charts, "filled_columns": filled}
    else:
        template = "overview.html"
        values = {"audiences": audiences}
    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        made=figures.format_time(now),
        entries=entries,
        erasures=erasures,
        figures=figures,
        reasons=REASONS,
        **values,
    )


def _build_audience_reports(entries: Sequence[Entry], *, audience_id: str | None = None) -> list[AudienceReport]:
    """Return the reports about all audiences, or only the one about `audience_id`, sorted by the audiences' names.

    Raises SettingsError if there is neither a run nor a follow-up with a status.
    """
    # Of two entries for one session, attempt, action and audience, the later one counts.
    newest = {(each.kind, each.key, each.get_text("audience_id")): each for each in entries if not each.is_erasure}
    last = list(newest.values())
    ids = list(dict.fromkeys(entry.get_text("audience_id") for entry in last if entry.get_text("audience_id")))
    if audience_id is None and len(ids) < 2:
        reports = [_build_report("".join(ids), last)]
    else:
        reports = []
        for wanted in [audience_id] if audience_id else ids:
            names = {each.get_text("audience_name") for each in last if each.get_text("audience_id") == wanted}
            own = []
            for entry in last:
                of_entry = entry.get_text("audience_id")
                name = entry.get_text("audience_name")
                # A creation that failed early knows only its audience's name.
                if of_entry == wanted or (not of_entry and name and name in names):
                    own.append(entry)
            reports.append(_build_report(wanted, own))
    shown = [report for report in reports if report]
    if not shown:
        of_audience = f" of audience {audience_id or ids[0]}" if audience_id or ids else ""
        raise SettingsError(f"the history has no runs and no status checks{of_audience}: run the workflow first")
    return sorted(shown, key=lambda report: (report.title.casefold(), report.audience_id))


def _build_report(audience_id: str, entries: Sequence[Entry]) -> AudienceReport | None:
    """Return the report about one audience, or None if its `entries` contain neither a run nor a known status."""
    previous, run = [None, None, *(entry for entry in entries if entry.kind == RUN)][-2:]
    start = run.at if run else None
    later = [entry for entry in entries if entry.kind == FOLLOW_UP and not (start and entry.at and entry.at < start)]
    follow_up = _find_newest(later, "audience_status")
    size_since_run = _find_newest(later, "audience_size")
    latest_entry = run or follow_up
    if latest_entry is None:
        return None
    lifts = [entry for entry in entries if entry.kind == LIFT and entry.outcome == SUCCESS and entry.lift]
    named = _find_newest(entries, "audience_name")
    return AudienceReport(
        audience_id=audience_id,
        title=named.get_text("audience_name") if named else f"audience {audience_id or 'without an id'}",
        entries=entries,
        run=run,
        previous=previous,
        latest_entry=latest_entry,
        size=_find_newest(entries, "audience_size"),
        size_since_run=size_since_run,
        lift=lifts[-1] if lifts else None,
        verdict=choose_report_text(run, follow_up),
        bars=build_funnel(run, size_entry=size_since_run) if run else [],
    )


def _find_newest(entries: Sequence[Entry], column: str) -> Entry | None:
    """Return the newest entry that has a value in a column of the history, or None. `entries`: the oldest first."""
    return next((entry for entry in reversed(entries) if entry.get_text(column)), None)
