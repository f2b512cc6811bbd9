"""Entries → one HTML page that stands alone: no script, nothing loaded, for screens, phones, paper, light and dark."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.identifiers.reasons import REASONS
from td_pinterest_op.redaction.secret import mask
from td_pinterest_op.report import figures
from td_pinterest_op.report.charts import over_time
from td_pinterest_op.report.entry import Entry
from td_pinterest_op.report.verdict import Outcome, verdict
from td_pinterest_op.run_history.columns import FOLLOW_UP, LIFT, RUN, SUCCESS

# A page shows and carries this many entries, the newest ones: a year of daily runs with their follow-ups.
MOST_ENTRIES = 800
_ROWS_SHOWN = 60

_FIGURES: tuple[tuple[str, str, str, Callable[[float | None], str]], ...] = (
    ("Rows", "rows_read", "read from the query", figures.number),
    ("Rows", "rows_valid", "valid identifiers", figures.number),
    ("Rows", "rows_invalid", "rejected, by reason below", figures.number),
    ("Rows", "values_hashed", "valid values that were hashed already", figures.number),
    ("People", "records_unique", "different people", figures.number),
    ("People", "records_duplicate", "repeats, sent once", figures.number),
    ("People", "records_withheld_suppressed", "withheld: they opted out", figures.number),
    ("People", "records_withheld_without_consent", "withheld: without consent", figures.number),
    ("People", "records_withheld_control", "withheld: the control group", figures.number),
    ("People", "records_sent", "taken by Pinterest", figures.number),
    ("People", "records_refused", "refused by Pinterest and skipped", figures.number),
    ("People", "records_keys", "keys of these people", figures.number),
    ("Requests", "requests_sent", "writes to Pinterest, repetitions included", figures.number),
    ("Requests", "requests_retried", "repeated", figures.number),
    ("Requests", "requests_failed", "without success", figures.number),
    ("Time", "seconds_reading", "waiting for Treasure Data, reading and hashing", figures.duration),
    ("Time", "seconds_sending", "sending to Pinterest", figures.duration),
    ("Time", "seconds_waiting", "waits for Pinterest's limit and before retries, of all requests", figures.duration),
)
_IDS = (
    ("action", "action"),
    ("ad_account_id", "ad account"),
    ("audience_id", "audience"),
    ("customer_list_id", "customer list behind it"),
    ("previous_customer_list_id", "customer list left behind"),
    ("job_id", "Treasure Data job"),
    ("session_time", "session"),
    ("version", "version of the operator"),
)


def page(
    entries: Sequence[Entry], *, outcomes: Mapping[str, Outcome], audience_id: str | None = None, now: datetime
) -> str:
    """The report of the last run of one audience, with its history. `entries` are in the order of time.

    `outcomes`: what to say after an action, by its name.

    Raises SettingsError if `entries` are of several audiences and `audience_id` names none of them, or if there is
    neither a run nor a follow-up.
    """
    chosen = _of_one_audience(entries, audience_id)[-MOST_ENTRIES:]
    runs = [entry for entry in chosen if entry.kind == RUN]
    run, previous = (*reversed(runs), None, None)[:2]
    seen = _look_after(run, chosen)
    latest = run or seen
    if latest is None:
        raise SettingsError("the history of this audience has no run, and no follow-up that knows its status")
    named = _newest(chosen, "audience_name")
    lifts = [entry for entry in chosen if entry.kind == LIFT and entry.outcome == SUCCESS and entry.lift]
    environment = Environment(
        loader=PackageLoader(__package__, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        title=named.text("audience_name") if named else f"audience {latest.text('audience_id') or 'without an id'}",
        run=run,
        read=bool(run and run.number("rows_read")),
        previous=previous,
        latest=latest,
        verdict=verdict(run, seen, outcomes=outcomes),
        size=_newest(chosen, "audience_size"),
        figures=_FIGURES,
        reasons=REASONS,
        lift=lifts[-1] if lifts else None,
        sizes=over_time(_points(chosen, "audience_size"), label="Matched people over time, as Pinterest counts them"),
        matched=_matched(chosen),
        shares=_rejected(runs),
        ids=_IDS,
        rows=[*reversed(chosen)][:_ROWS_SHOWN],
        hidden=max(len(chosen) - _ROWS_SHOWN, 0),
        made=figures.day(now),
        data=json.dumps([_plain(entry) for entry in chosen], ensure_ascii=False),
        write=figures,
    )


def _look_after(run: Entry | None, entries: Sequence[Entry]) -> Entry | None:
    """The last look at the audience that knows its status, unless it was before the run."""
    looks = [entry for entry in entries if entry.kind == FOLLOW_UP and entry.text("audience_status")]
    after = [look for look in looks if not (run and look.at and run.at and look.at < run.at)]
    return after[-1] if after else None


def _of_one_audience(entries: Sequence[Entry], audience_id: str | None) -> list[Entry]:
    """The entries of one audience, each once: a row of the same session, attempt and action replaces the earlier."""
    ids = dict.fromkeys(entry.text("audience_id") for entry in entries if entry.text("audience_id"))
    if audience_id is None and len(ids) > 1:
        raise SettingsError(f"the history is of several audiences ({', '.join(ids)}): say which one with --audience")
    if audience_id is not None and audience_id not in ids:
        raise SettingsError(f"the history has no audience {audience_id}; it has {', '.join(ids) or 'none'}")
    own = [entry for entry in entries if entry.text("audience_id") == audience_id]
    of_it = [
        entry
        for entry in entries
        # A run that failed early knows its audience's name, or only its workflow.
        if audience_id in (None, entry.text("audience_id")) or (not entry.text("audience_id") and _is_like(entry, own))
    ]
    return list({(entry.kind, entry.key): entry for entry in of_it}.values())


def _is_like(entry: Entry, others: Sequence[Entry]) -> bool:
    name = "audience_name" if entry.text("audience_name") else "workflow"
    return entry.text(name) in {other.text(name) for other in others}


def _matched(entries: Sequence[Entry]) -> list[tuple[str, Markup | None]]:
    """Headings and charts of how many records were in the audience, and which share of them Pinterest matched."""
    members = "Records known to be in the audience"
    ratio = "Share of these records that Pinterest matched, about"
    ratios = [(at, 100 * share) for at, share in _points(entries, "match_ratio")]
    return [
        (members, over_time(_points(entries, "members"), label=f"{members}, over time")),
        (ratio, over_time(ratios, label=f"{ratio}, over time, in per cent", formatter=lambda value: f"{value:.0f} %")),
    ]


def _rejected(runs: Sequence[Entry]) -> Markup | None:
    label = "Share of rejected rows over time, in per cent"
    read = [(run, run.at, run.number("rows_read")) for run in runs]
    shares = [(at, 100 * (run.number("rows_invalid") or 0) / rows) for run, at, rows in read if at and rows]
    return over_time(shares, label=label, formatter=lambda value: f"{value:.1f} %")


def _points(entries: Sequence[Entry], name: str) -> list[tuple[datetime, float]]:
    return [(entry.at, number) for entry in entries if entry.at and (number := entry.number(name)) is not None]


def _newest(entries: Sequence[Entry], name: str) -> Entry | None:
    """The newest entry that knows something."""
    return next((entry for entry in reversed(entries) if entry.text(name)), None)


def _plain(entry: Entry) -> dict[str, Any]:
    """An entry as the page carries it, for the next page: masked, without what is not known."""
    values = {name: mask(value) if isinstance(value, str) else value for name, value in entry.values.items()}
    return {
        **{name: value for name, value in values.items() if value is not None and value != ""},
        "kind": entry.kind,
        "outcome": entry.outcome,
        "time": entry.at.timestamp() if entry.at else None,
        "rows_invalid_by_reason": dict(entry.invalid_by_reason),
    }
