"""The funnel of a run, from the rows of the query to the people whom Pinterest matched."""

from dataclasses import dataclass

from td_pinterest_op.report.entry import Entry
from td_pinterest_op.report.figures import format_number, format_time
from td_pinterest_op.run_history.history_table import FAILED_OUTCOME
from td_pinterest_op.stats import CONTROL, SUPPRESSED, WITHHELD, WITHOUT_CONSENT

KEPT = "kept"
LOST = "lost"
MATCHED = "matched"

_WITHHELD = {SUPPRESSED: "Opted out", WITHOUT_CONSENT: "Without consent", CONTROL: "Control group"}
_REMOVE = "remove_people_from_current_audience"
_MOST_REASONS = 3  # more do not fit next to a bar


@dataclass(frozen=True)
class Bar:
    """A bar of the funnel chart: the people who remain (`kind` KEPT), drop out (LOST), or are matched (MATCHED)."""

    kind: str
    label: str
    count: float | None  # None if it is not known yet
    note: str = ""  # text next to the bar


def build_funnel(run: Entry, *, size_entry: Entry | None) -> list[Bar]:
    """Return the bars of a run's funnel chart.

    `size_entry`: the newest entry after the run that has the audience's size, or None. LOST bars of zero are left out.
    If the run read no row, or has no figures of records, the list is empty.
    """
    read = run.get_number("rows_read")
    unique = run.get_number("records_unique")
    if not read or unique is None:
        return []
    invalid = run.get_number("rows_invalid") or 0
    valid = run.get_number("rows_valid") or 0
    reasons = [f"{reason.replace('_', ' ')} {format_number(count)}" for reason, count in run.invalid_by_reason.items()]
    if len(reasons) > _MOST_REASONS:
        reasons[_MOST_REASONS:] = [f"{len(reasons) - _MOST_REASONS} other reasons"]
    bars = [
        Bar(KEPT, "Rows read", read),
        Bar(KEPT, "Identifiers in them", valid + invalid),
        Bar(LOST, "Rejected", invalid, ", ".join(reasons)),
        Bar(KEPT, "Valid", valid),
        Bar(LOST, "Repeats", valid - unique),
        Bar(KEPT, "Different people", unique),
        *(Bar(LOST, _WITHHELD[each], run.get_number(f"records_withheld_{each}"), "withheld") for each in WITHHELD),
    ]
    if valid + invalid == read:  # one column of identifiers
        del bars[1]
    sent = run.get_number("records_sent") or 0
    allowed = run.allowed_count or 0
    removes = run.get_text("action") == _REMOVE
    if run.is_mirror:
        names = {"mirror_joined": "joined", "mirror_left": "left", "mirror_resent": "sent again"}
        changes = [
            f"{format_number(run.get_number(name))} {word}" for name, word in names.items() if run.get_number(name)
        ]
        label = "Should be in the audience" if run.get_number("members") is None else "In the audience"
        bars.append(Bar(KEPT, label, allowed, ", ".join(changes) or "nobody joined or left"))
    elif run.dry_run:
        bars.append(Bar(KEPT, "Would be taken out" if removes else "Would be sent", allowed))
    else:
        refused = run.get_number("records_refused") or 0
        bars.append(Bar(LOST, "Refused by Pinterest", refused))
        why = "the run failed before" if run.outcome == FAILED_OUTCOME else ""
        bars.append(Bar(LOST, "Not sent", allowed - sent - refused, why))
        bars.append(Bar(KEPT, "Taken out" if removes else "Sent", sent))
    bars = [bar for bar in bars if bar.kind == KEPT or bar.count]
    if run.outcome != FAILED_OUTCOME and not run.dry_run and not removes:
        count = size_entry.get_number("audience_size") if size_entry else None
        whole = "the whole audience, " if run.get_text("action").startswith("add_people_to_") else ""
        note = f"{whole}about, as of {format_time(size_entry.at)}" if size_entry else "not known yet"
        bars.append(Bar(MATCHED, "Matched by Pinterest", count, note))
    return bars
