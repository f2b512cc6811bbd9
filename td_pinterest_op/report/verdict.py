"""The headline of a report: whether the audience was filled, with how many people, and what to do next."""

from dataclasses import dataclass, replace
from datetime import timedelta

from td_pinterest_op.pinterest.api import AudienceCondition, classify_audience_status
from td_pinterest_op.report.entry import ReportEntry
from td_pinterest_op.report.figures import format_number, format_time
from td_pinterest_op.run_history.history_table import FAILED_OUTCOME

_MATCHING_TIME = timedelta(hours=48)


@dataclass(frozen=True, kw_only=True)
class ReportText:
    """The headline of a report and the text below it."""

    tone: str = "good"  # good, waiting or bad: chooses a colour and a symbol
    headline: str
    detail: str
    next: str  # what to do
    hides_size: bool = False  # the audience no longer has a size


# The texts of successful actions: `{sent}` people were sent, whom Pinterest will have matched at the time `{until}`.
_SENT_TEXT = ReportText(
    tone="waiting",
    headline="{sent} people are on their way to Pinterest",
    detail="Pinterest matches them to its accounts, which takes 24 to 48 hours. Only then does the size change.",
    next="Look again after {until}: run pinterest_status.dig, or open the audience in Ads Manager.",
)
# The others have `_SENT_TEXT`.
_ACTION_TEXTS = {
    "remove_people_from_current_audience": replace(_SENT_TEXT, headline="Pinterest was asked to remove {sent} people"),
    "mirror_current_audience": replace(_SENT_TEXT, headline="{sent} changes are on their way to Pinterest"),
    "clear_current_audience": ReportText(
        headline="The audience is empty",
        detail="It uses a customer list without people (if Pinterest requires a record, one digest that belongs to "
        "nobody). Ads Manager may show the old size for a day or two.",
        next="Fill it again with pinterest_export.dig when you need it.",
        hides_size=True,
    ),
    "delete_current_audience": ReportText(
        headline="The audience is deleted",
        detail="Its customer list stays: Pinterest has no way to delete one.",
        next="Check that none of your ad groups still uses the audience.",
        hides_size=True,
    ),
    "create_actalike_audience": ReportText(
        headline="The look-alike audience is created",
        detail="Pinterest looks for people who are like those of the seed audience, which takes a day or two.",
        next="Look again in two days: run pinterest_status.dig, or open the audience in Ads Manager.",
        tone="waiting",
    ),
}


def choose_report_text(run: ReportEntry | None, follow_up: ReportEntry | None) -> ReportText:
    """Return the text about the last run and the last status check after it, one of which may be missing (None)."""
    if run and run.outcome == FAILED_OUTCOME:
        changes = sum(run.get_number(f"mirror_{name}") or 0 for name in ("joined", "resent", "left"))
        planned = format_number(changes if run.is_mirror else run.sendable_count)
        unit = "changes" if run.is_mirror else "people"
        # Of other records it may not be known whether they were sent.
        reached = f"Pinterest confirmed {format_number(run.get_number('records_sent'))} of {planned} {unit}."
        return ReportText(
            tone="bad",
            headline="The last run failed",
            detail=f"{reached if run.get_number('records_unique') else ''} {run.get_text('error')}".strip(),
            next="Do what the message says, then run the workflow again. Running it again is always safe.",
        )
    if run and run.is_dry_run:
        return ReportText(
            tone="waiting",
            headline="This was a dry run: nothing changed on Pinterest",
            detail=run.get_text("summary"),
            next="Remove dry_run from the settings and run the workflow again.",
        )
    text = _ACTION_TEXTS.get(run.get_text("action") if run else "", _SENT_TEXT)
    # A follow-up has nothing to add to the text of an action that needs no waiting.
    if follow_up and text.tone == "waiting":
        return _describe_status_check(follow_up)
    assert run is not None  # noqa: S101 - the caller has one of the two
    sent = run.get_number("records_sent")
    if not sent and "{sent}" in text.headline:
        # An empty result that was allowed, or one whose people are in the audience already.
        headline = "Nobody joined or left" if run.is_mirror else "Nothing had to be sent"
        return ReportText(headline=headline, detail=run.get_text("summary"), next="Nothing to do.")
    until = format_time(run.at + _MATCHING_TIME) if run.at else "two days after the run"
    return replace(text, headline=text.headline.format(sent=format_number(sent)), next=text.next.format(until=until))


def _describe_status_check(follow_up: ReportEntry) -> ReportText:
    status = follow_up.get_text("audience_status")
    size = follow_up.get_number("audience_size")
    people = "its size is not known yet" if size is None else f"about {format_number(size)} matched people"
    when = format_time(follow_up.at)
    condition = classify_audience_status(status)
    if condition is AudienceCondition.READY:
        return ReportText(
            headline=f"The audience is ready: {people}",
            detail=f"As of {when}. Pinterest counts people with an account that it could match.",
            next="Nothing to do. Ad groups can use the audience.",
        )
    if condition is AudienceCondition.TOO_SMALL:
        return ReportText(
            tone="bad",
            headline=f"The audience is too small to use: {people}",
            detail=f"As of {when}.",
            next="Pinterest shows ads to an audience only if it has at least 100 matched people. Send more people, or "
            "wait if the last ones were sent less than two days ago.",
        )
    if follow_up.outcome == FAILED_OUTCOME or condition is AudienceCondition.REMOVED:
        return ReportText(
            tone="bad",
            headline="The audience cannot be used",
            detail=follow_up.get_text("summary") or f"Its status was {status or 'not readable'} on {when}.",
            next="Check in Ads Manager whether somebody removed it, and which ad account it belongs to.",
            hides_size=condition is AudienceCondition.REMOVED,
        )
    return ReportText(
        tone="waiting",
        headline="Pinterest is still matching people",
        detail=f"On {when} the status was {status or 'not known'}: {people}.",
        next="Look again tomorrow. If this lasts longer than two days, ask Pinterest about the customer list.",
    )
