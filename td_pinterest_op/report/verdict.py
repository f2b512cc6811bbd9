"""The first screen of a report: did it fill, how many people, what next – for somebody who knows no API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from td_pinterest_op.report.entry import Entry
from td_pinterest_op.report.figures import day, number
from td_pinterest_op.run_history.columns import FAILED
from td_pinterest_op.stats import READY_STATUSES, REMOVED_STATUSES, TOO_SMALL_STATUSES, WITHHELD

# What Pinterest needs to match people to accounts.
MATCHING = timedelta(hours=48)

_TOO_SMALL_ADVICE = (
    "Pinterest shows ads to an audience from 100 matched people on. Send more people, or wait if the last ones were "
    "sent less than two days ago."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the first screen says. `tone` is good, waiting or bad: a colour and a sign. `next`: what to do.

    In that of an action, `{sent}` and `{until}` stand for the people and for when Pinterest will have matched them.
    `final`: a later look at the audience has nothing to add.
    """

    tone: str = "good"
    headline: str
    detail: str
    next: str
    final: bool = True


_MATCHING = "Pinterest matches them to its accounts, which takes 24 to 48 hours. Only then does the size change."
_LOOK_AGAIN = "Look again after {until}: run pinterest_status.dig, or open the audience in Ads Manager."
ON_THEIR_WAY = Outcome(
    tone="waiting",
    headline="{sent} people are on their way to Pinterest",
    detail=_MATCHING,
    next=_LOOK_AGAIN,
    final=False,
)
ON_THEIR_WAY_OUT = replace(ON_THEIR_WAY, headline="Pinterest was asked to remove {sent} people")


def verdict(run: Entry | None, seen: Entry | None, *, outcomes: Mapping[str, Outcome]) -> Outcome:
    """`run` is the last run, `seen` the last follow-up after it; at least one of them is there.

    `outcomes` are by the names of the actions.
    """
    if run and run.outcome == FAILED:
        return _failed(run)
    if run and run.dry_run:
        return _rehearsed(run)
    outcome = outcomes.get(run.text("action"), ON_THEIR_WAY) if run else None
    if seen and not (outcome and outcome.final):
        return _seen(seen)
    assert run is not None and outcome is not None  # noqa: S101, PT018 - the caller has one of the two
    return _done(run, outcome)


def _failed(run: Entry) -> Outcome:
    sent = run.number("records_sent") or 0
    withheld = sum(run.number(f"records_withheld_{reason}") or 0 for reason in WITHHELD)
    unique = (run.number("records_unique") or 0) - withheld
    so_far = f"{number(sent)} of {number(unique)} people reached Pinterest." if sent else "Nobody was sent."
    return Outcome(
        tone="bad",
        headline="The last run failed",
        detail=f"{so_far if unique else ''} {run.text('error')}".strip(),
        next="Do what the message says, then run the workflow again. Running it again is always safe.",
    )


def _rehearsed(run: Entry) -> Outcome:
    return Outcome(
        tone="waiting",
        headline="This was a rehearsal: nothing changed on Pinterest",
        detail=run.text("summary"),
        next="Take dry_run out of the settings and run the workflow again.",
    )


def _done(run: Entry, outcome: Outcome) -> Outcome:
    if not run.number("records_sent") and "{sent}" in outcome.headline:
        # An empty result that was allowed, or one whose people are there already.
        return Outcome(headline="Nobody had to be sent", detail=run.text("summary"), next="Nothing to do.")
    sent = number(run.number("records_sent"))
    until = day(run.at + MATCHING) if run.at else "two days after the run"
    return replace(outcome, headline=outcome.headline.format(sent=sent), next=outcome.next.format(until=until))


def _seen(seen: Entry) -> Outcome:
    status, size = seen.text("audience_status"), seen.number("audience_size")
    people = f"about {number(size)} matched people" if size else "no matched people yet"
    when = day(seen.at)
    if status in READY_STATUSES:
        return Outcome(
            headline=f"The audience is ready: {people}",
            detail=f"Pinterest said so on {when}. It counts people with an account that it could match.",
            next="Nothing to do. Ad groups can use the audience.",
        )
    if status in TOO_SMALL_STATUSES:
        return Outcome(
            tone="bad",
            headline=f"The audience is too small to use: {people}",
            detail=f"Pinterest said so on {when}.",
            next=_TOO_SMALL_ADVICE,
        )
    if seen.outcome == FAILED or status in REMOVED_STATUSES:
        return Outcome(
            tone="bad",
            headline="The audience cannot be used",
            detail=seen.text("summary") or f"Its status was {status or 'not readable'} on {when}.",
            next="Check in Ads Manager whether somebody removed it, and which ad account it belongs to.",
        )
    return Outcome(
        tone="waiting",
        headline="Pinterest is still matching people",
        detail=f"On {when} the status was {status or 'not known'}, with {people}.",
        next="Look again tomorrow. If this lasts longer than two days, ask Pinterest about the customer list.",
    )
