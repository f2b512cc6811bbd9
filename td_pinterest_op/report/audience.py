"""What a report shows of each audience, made from a list of entries."""

from collections.abc import Sequence
from dataclasses import dataclass

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.report.entry import Entry
from td_pinterest_op.report.funnel import Bar, build_funnel
from td_pinterest_op.report.verdict import ReportText, choose_report_text
from td_pinterest_op.run_history.table import FOLLOW_UP, LIFT, RUN, SUCCESS


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


def build_audience_reports(entries: Sequence[Entry], *, audience_id: str | None = None) -> list[AudienceReport]:
    """Return the reports about all audiences, or only the one about `audience_id`, sorted by the audiences' names.

    Raises SettingsError if the audience has no entry, or if there is neither a run nor a follow-up with a status.
    """
    # Of two entries for one session, attempt, action and audience, the later one counts.
    last = list({(entry.kind, entry.key, entry.get_text("audience_id")): entry for entry in entries}.values())
    ids = [*dict.fromkeys(entry.get_text("audience_id") for entry in last if entry.get_text("audience_id"))]
    if audience_id is not None and audience_id not in ids:
        advice = f"choose one of {', '.join(ids[:9])}{' …' * bool(ids[9:])}" if ids else "run its export workflow first"
        raise SettingsError(f"the history has no rows of audience {audience_id}: {advice}")
    if audience_id is None and len(ids) < 2:
        reports = [_build_report("".join(ids), last)]
    else:
        wanted = [audience_id] if audience_id else ids
        reports = [_build_report(wanted_id, _select_entries(last, wanted_id)) for wanted_id in wanted]
    shown = [report for report in reports if report]
    if not shown:
        raise SettingsError(
            "the history has no runs and no status checks of audience "
            f"{audience_id or ', '.join(ids) or 'without an id'}: run its export workflow first"
        )
    return sorted(shown, key=lambda report: (report.title.casefold(), report.audience_id))


def _select_entries(entries: Sequence[Entry], audience_id: str) -> list[Entry]:
    """Return the entries with an audience's id, and those without an id that share a name or workflow with them."""
    own = [entry for entry in entries if entry.get_text("audience_id") == audience_id]
    texts = {name: {entry.get_text(name) for entry in own} for name in ("audience_id", "audience_name", "workflow")}
    selected = {}
    for entry in entries:
        # A run that failed early knows its audience's name, or only its workflow.
        name = next((name for name in texts if entry.get_text(name)), "workflow")
        if entry.get_text(name) in texts[name]:
            selected[entry.kind, entry.key] = entry
    return list(selected.values())


def _build_report(audience_id: str, entries: Sequence[Entry]) -> AudienceReport | None:
    """Return the report about one audience, or None if its `entries` contain neither a run nor a known status."""
    previous, run = [None, None, *(entry for entry in entries if entry.kind == RUN)][-2:]
    start = run.at if run else None
    later = [entry for entry in entries if entry.kind == FOLLOW_UP and not (start and entry.at and entry.at < start)]
    follow_up, size_since_run = _find_newest(later, "audience_status"), _find_newest(later, "audience_size")
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
