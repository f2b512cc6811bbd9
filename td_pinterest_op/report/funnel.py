"""The funnel of a run, from the rows of the query to the people whom Pinterest matched."""

from dataclasses import dataclass

from td_pinterest_op.report.entry import ReportEntry
from td_pinterest_op.report.figures import format_number, format_time
from td_pinterest_op.run_history.history_table import FAILED_OUTCOME
from td_pinterest_op.stats import IN_CONTROL_GROUP, SUPPRESSED, WITHOUT_CONSENT

REMAINING_BAR = "kept"
LOST_BAR = "lost"
MATCHED_BAR = "matched"

_WITHHELD_LABELS = {SUPPRESSED: "Opted out", WITHOUT_CONSENT: "Without consent", IN_CONTROL_GROUP: "Control group"}
_REMOVE_ACTION = "remove_people_from_current_audience"


@dataclass(frozen=True)
class Bar:
    """A bar of the funnel: people who remain, drop out, or match."""

    kind: str  # REMAINING_BAR, LOST_BAR or MATCHED_BAR
    label: str
    count: float | None  # None if it is not known yet
    note: str = ""


def build_funnel(run: ReportEntry, *, later_entry_with_size: ReportEntry | None) -> list[Bar]:
    """Return the bars of a run's funnel, none if it read no row or has no figures of records.

    `later_entry_with_size`: the newest entry after the run that has the audience's size, or None.
    """
    read = run.get_number("rows_read")
    unique = run.get_number("records_unique")
    if not read or unique is None:
        return []
    invalid = run.get_number("rows_invalid") or 0
    valid = run.get_number("rows_valid") or 0
    reasons = [f"{reason.replace('_', ' ')} {format_number(count)}" for reason, count in run.invalid_by_reason.items()]
    withheld = {label: run.get_number(f"records_withheld_{reason}") or 0 for reason, label in _WITHHELD_LABELS.items()}
    bars = [
        Bar(REMAINING_BAR, "Rows read", read),
        Bar(REMAINING_BAR, "Identifiers in them", valid + invalid),
        Bar(LOST_BAR, "Rejected", invalid, ", ".join(reasons)),
        Bar(REMAINING_BAR, "Valid", valid),
        Bar(LOST_BAR, "Repeats", valid - unique),
        Bar(REMAINING_BAR, "Different people", unique),
        *(Bar(LOST_BAR, label, count, "withheld") for label, count in withheld.items()),
    ]
    if valid + invalid == read:  # one column of identifiers
        del bars[1]
    sent = run.get_number("records_sent") or 0
    allowed = unique - sum(withheld.values())
    removes = run.get_text("action") == _REMOVE_ACTION
    if run.is_mirror:
        changes = [
            f"{format_number(count)} {word}"
            for name, word in (("joined", "joining"), ("left", "leaving"), ("resent", "resent"))
            if (count := run.get_number(f"mirror_{name}"))
        ]
        members = run.get_number("members")
        label = "Should be in the audience" if members is None else "In the audience"
        members = allowed if members is None else members
        bars += [
            Bar(LOST_BAR, "Refused by Pinterest", allowed - members),
            Bar(REMAINING_BAR, label, members, ", ".join(changes)),
        ]
    elif run.is_dry_run:
        bars.append(Bar(REMAINING_BAR, "Would be taken out" if removes else "Would be sent", allowed))
    else:
        refused = run.get_number("records_refused") or 0
        bars += [
            Bar(LOST_BAR, "Refused by Pinterest", refused),
            # Only of a failed run. Some may have been sent, in requests without a known outcome.
            Bar(LOST_BAR, "Not confirmed", allowed - sent - refused, "the run failed"),
            Bar(REMAINING_BAR, "Taken out" if removes else "Sent", sent),
        ]
    bars = [bar for bar in bars if bar.kind == REMAINING_BAR or bar.count]
    if run.outcome != FAILED_OUTCOME and not run.is_dry_run and not removes:
        count = None
        note = "not known yet"
        if later_entry_with_size:
            count = later_entry_with_size.get_number("audience_size")
            note = f"the whole audience, about, as of {format_time(later_entry_with_size.at)}"
        bars.append(Bar(MATCHED_BAR, "Matched by Pinterest", count, note))
    return bars
