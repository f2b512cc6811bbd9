"""Entries → one HTML page that stands alone: no script, nothing loaded, for screens, phones, paper, light and dark."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.history import FOLLOW_UP, LIFT, RUN
from td_pinterest_op.reasons import REASONS, Explanation
from td_pinterest_op.report import figures
from td_pinterest_op.report.charts import over_time
from td_pinterest_op.report.entry import Entry
from td_pinterest_op.report.lift import last_lift
from td_pinterest_op.report.verdict import Outcome, verdict
from td_pinterest_op.secret import mask

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
    ("Time", "seconds_waiting", "of it kept back by Pinterest's limit or before a retry, summed over all requests",
     figures.duration),
)  # fmt: skip
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A row of the table of figures; texts, ready to be shown."""

    group: str
    label: str
    value: str
    previous: str
    change: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A reason with its count; `percent` is its share of all rejected values, 0 to 100."""

    reason: str
    count: str
    percent: float
    previous: str
    explanation: Explanation | None


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
    run, previous = (runs[-1] if runs else None), (runs[-2] if len(runs) > 1 else None)
    looks = [entry for entry in chosen if entry.kind == FOLLOW_UP and entry.text("audience_status")]
    seen = [entry for entry in looks if not (run and _is_before(entry, run))]
    about_audience = [entry for entry in chosen if entry.kind != LIFT]
    if not about_audience:
        raise SettingsError("the history of this audience has no run and no follow-up yet")
    latest = run or about_audience[-1]
    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return template.from_string(
        _file("page.html")
    ).render(
        css=Markup(_file("page.css")),  # noqa: S704 - ours
        title=latest.text("audience_name") or _last(chosen, "audience_name") or f"audience {_id_of(latest)}",
        run=run,
        read=bool(run and run.number("rows_read")),
        previous=previous,
        latest=latest,
        verdict=verdict(run, seen[-1] if seen else None, outcomes=outcomes),
        size=_last_size(chosen),
        figures=_figures(run, previous) if run else [],
        rejections=_rejections(run, previous) if run else [],
        lift=last_lift(chosen),
        sizes=over_time(_points(chosen, _size), label="People in the audience over time, as Pinterest counts them"),
        matched=_matched(chosen),
        shares=over_time(
            _points(runs, _rejected_share),
            label="Share of rejected rows over time, in per cent",
            formatter=lambda value: f"{value:.1f} %",
        ),
        ids=[(label, latest.text(name)) for name, label in _IDS if latest.text(name)],
        rows=[*reversed(chosen)][:_ROWS_SHOWN],
        hidden=max(len(chosen) - _ROWS_SHOWN, 0),
        made=figures.day(now),
        data=json.dumps([_plain(entry) for entry in chosen], ensure_ascii=False),
        write=figures,
    )


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


def _figures(run: Entry, previous: Entry | None) -> list[Figure]:
    return [
        Figure(
            group=group,
            label=label,
            value=write(run.number(name)),
            previous=write(previous.number(name)) if previous else "",
            change=_change(run.number(name), previous.number(name) if previous else None, write),
        )
        for group, name, label, write in _FIGURES
        if run.number(name) is not None
    ]


def _change(now: float | None, before: float | None, write: Callable[[float | None], str]) -> str:
    return figures.change(now, before) if write is figures.number else ""


def _rejections(run: Entry, previous: Entry | None) -> list[Rejection]:
    total = sum(run.invalid_by_reason.values())
    return [
        Rejection(
            reason=reason,
            count=figures.number(count),
            percent=round(100 * count / total, 1),
            previous=figures.number(previous.invalid_by_reason.get(reason, 0)) if previous else "",
            explanation=REASONS.get(reason),
        )
        for reason, count in run.invalid_by_reason.items()
    ]


def _matched(entries: Sequence[Entry]) -> list[tuple[str, Markup | None]]:
    """Headings and charts of how many records were in the audience, and which share of them Pinterest matched."""
    members = "Records known to be in the audience"
    ratio = "Share of these records that Pinterest matched, about"
    ratios = [(at, 100 * share) for at, share in _points(entries, lambda entry: entry.number("match_ratio"))]
    return [
        (members, over_time(_points(entries, lambda entry: entry.number("members")), label=f"{members}, over time")),
        (ratio, over_time(ratios, label=f"{ratio}, over time, in per cent", formatter=lambda value: f"{value:.0f} %")),
    ]


def _size(entry: Entry) -> float | None:
    return entry.number("audience_size")


def _rejected_share(run: Entry) -> float | None:
    read = run.number("rows_read")
    return 100 * (run.number("rows_invalid") or 0) / read if read else None


def _points(entries: Sequence[Entry], value: Callable[[Entry], float | None]) -> list[tuple[datetime, float]]:
    return [(entry.at, number) for entry in entries if entry.at and (number := value(entry)) is not None]


def _last_size(entries: Sequence[Entry]) -> Entry | None:
    return next((entry for entry in reversed(entries) if entry.number("audience_size") is not None), None)


def _last(entries: Sequence[Entry], name: str) -> str:
    return next((entry.text(name) for entry in reversed(entries) if entry.text(name)), "")


def _is_before(entry: Entry, run: Entry) -> bool:
    return bool(entry.at and run.at and entry.at < run.at)


def _id_of(entry: Entry) -> str:
    return entry.text("audience_id") or "without an id"


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


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
