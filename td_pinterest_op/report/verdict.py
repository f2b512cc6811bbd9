"""The headline of a report: whether the audience was filled, with how many people, and what to do next."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from td_pinterest_op.report.entry import Entry
from td_pinterest_op.report.figures import day, number
from td_pinterest_op.run_history.columns import FAILED
from td_pinterest_op.stats import Condition, find_condition

# Pinterest takes that long to match people to accounts.
MATCHING = timedelta(hours=48)

_TOO_SMALL_ADVICE = (
    "Pinterest shows ads to an audience only if it has at least 100 matched people. Send more people, or wait if the "
    "last ones were sent less than two days ago."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportText:
    """The headline and the text below it. `tone` (good, waiting or bad) is a colour and a sign. `next`: what to do.

    In that of an action, `{sent}` and `{until}` are the people and the time when Pinterest will have matched them.
    `final`: a later follow-up has nothing to add. `hides_size`: the audience has no size any more.
    """

    tone: str = "good"
    headline: str
    detail: str
    next: str
    final: bool = True
    hides_size: bool = False


_MATCHING = "Pinterest matches them to its accounts, which takes 24 to 48 hours. Only then does the size change."
_LOOK_AGAIN = "Look again after {until}: run pinterest_status.dig, or open the audience in Ads Manager."
ON_THEIR_WAY = ReportText(
    tone="waiting",
    headline="{sent} people are on their way to Pinterest",
    detail=_MATCHING,
    next=_LOOK_AGAIN,
    final=False,
)
ON_THEIR_WAY_OUT = replace(ON_THEIR_WAY, headline="Pinterest was asked to remove {sent} people")


def judge(run: Entry | None, seen: Entry | None, *, report_texts: Mapping[str, ReportText]) -> ReportText:
    """Return the headline for the last run and `seen`, the last follow-up after it; at least one of them exists.

    `report_texts`: those of the actions, by their names.
    """
    if run and run.outcome == FAILED:
        return _judge_failed(run)
    if run and run.dry_run:
        return _judge_dry_run(run)
    text = report_texts.get(run.text("action"), ON_THEIR_WAY) if run else None
    if seen and not (text and text.final):
        return _judge_follow_up(seen)
    assert run is not None and text is not None  # noqa: S101, PT018 - the caller has one of the two
    return _judge_done(run, text)


def _judge_failed(run: Entry) -> ReportText:
    """Return the headline for a failed run."""
    sent, planned = run.count("records_sent") or 0, run.count("records_unique") and _count_planned_records(run)
    so_far = f"{number(sent)} of {_format_amount(run, planned)} reached Pinterest." if sent else "Nobody was sent."
    return ReportText(
        tone="bad",
        headline="The last run failed",
        detail=f"{so_far if planned else ''} {run.text('error')}".strip(),
        next="Do what the message says, then run the workflow again. Running it again is always safe.",
    )


def _count_planned_records(run: Entry) -> int:
    """Return how many records the run had to send: all that are not withheld, or a mirror's changes."""
    if not run.is_mirror:
        return run.allowed_count or 0
    return sum(run.count(f"mirror_{name}") or 0 for name in ("joined", "resent", "left"))


def _format_amount(run: Entry, count: int | None) -> str:
    """Return a count of people, or of a mirror's changes, as text."""
    return f"{number(count)} {'changes' if run.is_mirror else 'people'}"


def _judge_dry_run(run: Entry) -> ReportText:
    """Return the headline for a dry run."""
    return ReportText(
        tone="waiting",
        headline="This was a dry run: nothing changed on Pinterest",
        detail=run.text("summary"),
        next="Take dry_run out of the settings and run the workflow again.",
    )


def _judge_done(run: Entry, text: ReportText) -> ReportText:
    """Return the headline for a successful run, from the action's `text`."""
    if not run.number("records_sent") and "{sent}" in text.headline:
        # An empty result that was allowed, or one whose people are in the audience already.
        headline = "Nobody joined or left" if run.is_mirror else "Nobody had to be sent"
        return ReportText(headline=headline, detail=run.text("summary"), next="Nothing to do.")
    sent = number(run.number("records_sent"))
    until = day(run.at + MATCHING) if run.at else "two days after the run"
    return replace(text, headline=text.headline.format(sent=sent), next=text.next.format(until=until))


def _judge_follow_up(seen: Entry) -> ReportText:
    """Return the headline for a follow-up, according to the audience's status."""
    status, size = seen.text("audience_status"), seen.number("audience_size")
    people = "its size is not known yet" if size is None else f"about {number(size)} matched people"
    when, condition = day(seen.at), find_condition(status)
    if condition is Condition.READY:
        return ReportText(
            headline=f"The audience is ready: {people}",
            detail=f"As of {when}. Pinterest counts people with an account that it could match.",
            next="Nothing to do. Ad groups can use the audience.",
        )
    if condition is Condition.TOO_SMALL:
        return ReportText(
            tone="bad",
            headline=f"The audience is too small to use: {people}",
            detail=f"As of {when}.",
            next=_TOO_SMALL_ADVICE,
        )
    if seen.outcome == FAILED or condition is Condition.REMOVED:
        return ReportText(
            tone="bad",
            headline="The audience cannot be used",
            detail=seen.text("summary") or f"Its status was {status or 'not readable'} on {when}.",
            next="Check in Ads Manager whether somebody removed it, and which ad account it belongs to.",
            hides_size=condition is Condition.REMOVED,
        )
    return ReportText(
        tone="waiting",
        headline="Pinterest is still matching people",
        detail=f"On {when} the status was {status or 'not known'}: {people}.",
        next="Look again tomorrow. If this lasts longer than two days, ask Pinterest about the customer list.",
    )
