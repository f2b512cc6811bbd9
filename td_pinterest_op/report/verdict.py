"""The first screen of a report: did it fill, how many people, what next – for somebody who knows no API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from td_pinterest_op.history import FAILED
from td_pinterest_op.report.entry import Entry
from td_pinterest_op.report.figures import day, number

# What Pinterest needs to match people to accounts.
MATCHING = timedelta(hours=48)

_TOO_SMALL_ADVICE = (
    "Pinterest shows ads to an audience from 100 matched people on. Send more people, or wait if the last ones were "
    "sent less than two days ago."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`tone` is good, waiting or bad; the page gives it a colour and a sign. `next` says what to do."""

    tone: str
    headline: str
    detail: str
    next: str


def verdict(run: Entry | None, seen: Entry | None) -> Verdict:
    """`run` is the last run, `seen` the last follow-up after it; at least one of them is there."""
    if run and run.outcome == FAILED:
        return _failed(run)
    if run and run.dry_run:
        return _rehearsed(run)
    if seen and not (run and run.text("action") in _FINAL):
        return _seen(seen)
    assert run is not None  # noqa: S101 - the caller has one of the two
    return _FINAL.get(run.text("action"), _under_way)(run)


def _failed(run: Entry) -> Verdict:
    sent = run.number("records_sent") or 0
    unique = run.number("records_unique") or 0
    so_far = f"{number(sent)} of {number(unique)} people reached Pinterest." if sent else "Nobody was sent."
    return Verdict(
        tone="bad",
        headline="The last run failed",
        detail=f"{so_far} {run.text('error')}".strip(),
        next="Do what the message says, then run the workflow again. Running it again is always safe.",
    )


def _rehearsed(run: Entry) -> Verdict:
    return Verdict(
        tone="waiting",
        headline="This was a rehearsal: nothing changed on Pinterest",
        detail=f"{number(run.number('records_unique'))} people are ready to be sent.",
        next="Take dry_run out of the settings and run the workflow again.",
    )


def _under_way(run: Entry) -> Verdict:
    sent = number(run.number("records_sent"))
    removed = run.text("action").startswith("remove")
    until = day(run.at + MATCHING) if run.at else "two days after the run"
    return Verdict(
        tone="waiting",
        headline=f"{sent} people {'are on their way out' if removed else 'are on their way to Pinterest'}",
        detail="Pinterest matches them to its accounts, which takes 24 to 48 hours. Only then does the size change.",
        next=f"Look again after {until}: run pinterest_status.dig, or open the audience in Ads Manager.",
    )


def _cleared(_run: Entry) -> Verdict:
    return Verdict(
        tone="good",
        headline="The audience is empty",
        detail="It stands on an empty customer list. Ads Manager may show the old size for a day or two.",
        next="Fill it again with pinterest_export.dig when you need it.",
    )


def _deleted(_run: Entry) -> Verdict:
    return Verdict(
        tone="good",
        headline="The audience is deleted",
        detail="Its customer list stays: Pinterest has no way to delete one.",
        next="Check that no ad group of yours still names the audience.",
    )


def _seen(seen: Entry) -> Verdict:
    status, size = seen.text("audience_status"), seen.number("audience_size")
    people = f"{number(size)} matched people" if size else "no matched people yet"
    when = day(seen.at)
    if status == "READY":
        return Verdict(
            tone="good",
            headline=f"The audience is ready: {people}",
            detail=f"Pinterest said so on {when}. It counts people with an account that it could match.",
            next="Nothing to do. Ad groups can use the audience.",
        )
    if status == "TOO_SMALL":
        return Verdict(
            tone="bad",
            headline=f"The audience is too small to use: {people}",
            detail=f"Pinterest said so on {when}.",
            next=_TOO_SMALL_ADVICE,
        )
    if seen.outcome == FAILED or status in _GONE:
        return Verdict(
            tone="bad",
            headline="The audience cannot be used",
            detail=seen.text("summary") or f"Its status was {status or 'not readable'} on {when}.",
            next="Check in Ads Manager whether somebody removed it, and which ad account it belongs to.",
        )
    return Verdict(
        tone="waiting",
        headline="Pinterest is still matching people",
        detail=f"On {when} the status was {status or 'not known'}, with {people}.",
        next="Look again tomorrow. If this lasts longer than two days, ask Pinterest about the customer list.",
    )


_GONE = frozenset({"REMOVED", "DELETED", "ARCHIVED"})
_FINAL: dict[str, Callable[[Entry], Verdict]] = {
    "clear_current_audience": _cleared,
    "delete_current_audience": _deleted,
}
