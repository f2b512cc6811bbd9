"""Renders entries as one self-contained HTML page, without script, for screens, phones and paper, light and dark."""

from collections.abc import Sequence
from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.identifiers.reasons import REASON_EXPLANATIONS
from td_pinterest_op.report import figures
from td_pinterest_op.report.charts import draw_line_chart
from td_pinterest_op.report.entry import ReportEntry
from td_pinterest_op.report.funnel import build_funnel
from td_pinterest_op.run_history.history_table import LIFT_ROW, RUN_ROW, STATUS_CHECK_ROW, SUCCESS_OUTCOME

# It keeps the compiled template: compiling takes most of the time of a page.
_TEMPLATE_ENVIRONMENT = Environment(
    loader=PackageLoader(__package__, ""),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_page(entries: Sequence[ReportEntry], *, audience_id: str | None = None, now: datetime) -> str:
    """Return the HTML report about the last run of an audience, and its history.

    `entries`: of any audiences, the oldest first. `audience_id`: by default, that of the newest entry that names one.
    Raises SettingsError if the audience has no run and no status check.
    """
    about_audiences = [entry for entry in entries if not entry.is_erasure]
    if audience_id is None:
        of_audience = _find_newest_with_value(about_audiences, "audience_id")
        audience_id = of_audience.get_text("audience_id") if of_audience else ""
    own = [entry for entry in about_audiences if entry.get_text("audience_id") == audience_id]
    runs = [entry for entry in own if entry.kind == RUN_ROW]
    run = runs[-1] if runs else None
    # A failed run has few figures, or none, and a dry run has sent nobody.
    successes = [entry for entry in runs[:-1] if entry.outcome == SUCCESS_OUTCOME and not entry.is_dry_run]
    previous = successes[-1] if successes else None
    start = run.at if run else None
    later = [entry for entry in own if entry.kind == STATUS_CHECK_ROW and not (start and entry.at and entry.at < start)]
    follow_up = _find_newest_with_value(later, "audience_status")
    if not run and not follow_up:
        subject = f" of audience {audience_id}" if audience_id else ""
        raise SettingsError(f"the history has no runs and no status checks{subject}: run the workflow first")
    lifts = [entry for entry in own if entry.kind == LIFT_ROW and entry.outcome == SUCCESS_OUTCOME and entry.lift]
    named = _find_newest_with_value(own, "audience_name")
    size_since_run = _find_newest_with_value(later, "audience_size")
    charts = {}
    for heading, column, factor, value_format in (
        ("Matched by Pinterest", "audience_size", 1, "{:,.0f}"),
        ("Records known to be in the audience", "members", 1, "{:,.0f}"),
        ("Share of these records that Pinterest matched, about", "match_ratio", 100, "{:.0f} %"),
    ):
        points = []
        for entry in own:
            # At the end of a run, Pinterest has not yet matched its people.
            is_early = column == "audience_size" and entry.kind != STATUS_CHECK_ROW
            number = entry.get_number(column)
            if entry.at and number is not None and not is_early:
                points.append((entry.at, factor * number))
        chart = draw_line_chart(points, label=f"{heading}, over time", value_format=value_format)
        if chart:
            charts[heading] = chart
    return _TEMPLATE_ENVIRONMENT.get_template("page.html").render(
        made=figures.format_time(now),
        title=named.get_text("audience_name") if named else f"audience {audience_id or 'without an id'}",
        bars=build_funnel(run, later_entry_with_size=size_since_run) if run else [],
        run=run,
        previous=previous,
        follow_up=follow_up,
        size=_find_newest_with_value(own, "audience_size"),
        size_since_run=size_since_run,
        lift=lifts[-1] if lifts else None,
        entries=own,
        erasures=[entry for entry in entries if entry.is_erasure],
        charts=charts,
        filled_columns={name for entry in own for name in entry.values if entry.get_text(name)},
        figures=figures,
        reasons=REASON_EXPLANATIONS,
    )


def _find_newest_with_value(entries: Sequence[ReportEntry], column: str) -> ReportEntry | None:
    return next((entry for entry in reversed(entries) if entry.get_text(column)), None)
